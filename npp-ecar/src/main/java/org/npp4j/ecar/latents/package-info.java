/** Between images and the continuous latents that {@link org.npp4j.ecar} generates. */
package org.npp4j.ecar.latents;
