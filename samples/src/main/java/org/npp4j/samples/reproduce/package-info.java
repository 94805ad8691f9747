/** What a published result needs, and whether it is there: for {@code npp reproduce}. */
package org.npp4j.samples.reproduce;
