/** Run-time halves of the baseline's vertices. */
package org.npp4j.ecar.baseline.impl;
