/**
 * Matrix products and convolutions by oneDNN. These classes are loaded only if the optional dependency {@code
 * org.bytedeco:dnnl} is on the class path.
 */
package org.npp4j.layers.kernel.onednn;
