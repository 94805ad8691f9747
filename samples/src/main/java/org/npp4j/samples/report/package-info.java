/** What a run leaves behind: its figures as records, as JSON and as one self-contained page, written atomically. */
package org.npp4j.samples.report;
