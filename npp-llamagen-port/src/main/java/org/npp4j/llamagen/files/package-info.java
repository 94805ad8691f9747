/** Files that must never be seen half-written: checkpoints, codes, reports. */
package org.npp4j.llamagen.files;
