/** Run-time halves of what {@link org.npp4j.ecar} puts into a configuration. */
package org.npp4j.ecar.impl;
