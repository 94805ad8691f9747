/** The apps: commands, and what they share: the backend check, errors in words, progress, memory. */
package org.npp4j.samples;
