/** The run-time halves of {@code org.npp4j.losses}. Axis letters and row orders are explained there. */
package org.npp4j.losses.impl;
