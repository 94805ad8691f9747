package org.npp4j.samples.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class ReportPageTest {
    private final String page = ReportPage.render(MadeUpReport.report(), MadeUpReport.sheets());
    private final String markup = PageMarkup.withoutScripts(page);

    @Test
    void everyElementIsClosedInOrder() {
        PageMarkup.assertClosed(markup);
    }

    @Test
    void loadsNothing() {
        Matcher references = Pattern.compile("(?:src|href|action|data|poster|srcset)=\"([^\"]*)\"")
                .matcher(markup);
        List<String> found = new ArrayList<>();
        while (references.find()) {
            found.add(references.group(1));
            assertTrue(references.group(1).startsWith("data:"), references.group(1));
        }
        assertEquals(5, found.size(), "the icon and four pictures");
        String style = between(page, "<style>", "</style>");
        assertFalse(style.contains("@import") || style.contains("url("), style);
        assertTrue(markup.contains("default-src 'none'"));
    }

    @Test
    void textIsEscaped() {
        assertTrue(markup.contains("&lt;b&gt;Bag&lt;/b&gt; &amp; &quot;purse&quot;"));
        assertTrue(markup.contains("Ankle boot&#39;s"));
        assertTrue(markup.contains("drawn by &quot;NTP&quot; &lt;model&gt;"));
        assertFalse(page.contains("<script>alert"));
        assertFalse(page.contains("<b>Bag"));
        assertEquals(3, page.split("</script>", -1).length - 1, "the page's own scripts");
    }

    @Test
    void chartsHaveTheFigures() throws Exception {
        JsonNode curves =
                new ObjectMapper().readTree(between(page, "<script type=\"application/json\" id=\"curves\">", "<"));
        LossCurve npp = MadeUpReport.report().npp().curve();
        assertEquals("NPP", curves.get(1).path("model").asText());
        assertEquals(npp.size(), curves.get(1).path("loss").size());
        assertEquals(npp.loss().get(7), curves.get(1).path("loss").get(7).asDouble());
        assertEquals(2, curves.get(1).path("patchSide").get(0).asInt());
    }

    @Test
    void aLossThatIsNotANumberLeavesAGap() throws Exception {
        QuickstartReport report = MadeUpReport.report();
        LossCurve broken =
                new LossCurve(List.of(1.0, 2.0), List.of(64L, 128L), List.of(3.0, Double.NaN), List.of(1, 1));
        TrainedModel ntp = report.ntp();
        TrainedModel withGap = new TrainedModel(
                ntp.trainSeconds(),
                ntp.trainGflop(),
                ntp.trainImages(),
                ntp.trainPositions(),
                ntp.trainTokens(),
                ntp.testNllPerToken(),
                ntp.testPerplexity(),
                ntp.parameters(),
                ntp.stages(),
                broken,
                ntp.modelFile(),
                null);
        String html = ReportPage.render(
                new QuickstartReport(
                        withGap,
                        report.npp(),
                        report.ratio(),
                        report.peakRssGib(),
                        report.totalSeconds(),
                        report.data(),
                        report.settings(),
                        report.environment(),
                        report.determinism(),
                        report.pictures(),
                        null),
                MadeUpReport.sheets());
        JsonNode curves =
                new ObjectMapper().readTree(between(html, "<script type=\"application/json\" id=\"curves\">", "<"));
        assertTrue(curves.get(0).path("loss").get(1).isNull());
    }

    @Test
    void theEcarHasASectionOfItsOwn() {
        QuickstartReport report = MadeUpReport.report();
        assertTrue(markup.contains("<h2 id=\"h-ecar\">"), markup);
        assertTrue(markup.contains("A &lt;reconstruction&gt;."), markup);
        assertTrue(markup.contains("0.2345"), "test loss");
        QuickstartReport without = new QuickstartReport(
                report.ntp(),
                report.npp(),
                report.ratio(),
                report.peakRssGib(),
                report.totalSeconds(),
                report.data(),
                report.settings(),
                report.environment(),
                report.determinism(),
                report.pictures(),
                null);
        String page = PageMarkup.withoutScripts(ReportPage.render(without, MadeUpReport.sheets()));
        PageMarkup.assertClosed(page);
        assertFalse(page.contains("ECAR"), page);
    }

    @Test
    void saysTheFigures() {
        assertTrue(markup.contains("<strong>0.647</strong>"));
        assertTrue(markup.contains("66.8 s against 103 s"));
        for (String shown : List.of(
                "1.453",
                "FID(cnn-made-up) of 500 drawn against 2,000 test images",
                "32.40",
                "88.0 %",
                "1.392",
                "3,840,000",
                "OPENBLAS",
                "0.1.0-SNAPSHOT",
                "9f86d081",
                "npp quickstart --out",
                "1.87")) {
            assertTrue(markup.contains(shown), shown);
        }
    }

    @Test
    void isAccessible() {
        Matcher pictures = Pattern.compile("<img [^>]*>").matcher(markup);
        while (pictures.find()) {
            assertTrue(pictures.group().contains("alt=\"Ten"), "a picture without a description");
        }
        Matcher headers = Pattern.compile("<th[ >][^>]*>?").matcher(markup);
        while (headers.find()) {
            assertTrue(headers.group().contains("scope="), headers.group());
        }
        assertTrue(markup.contains("<html lang=\"en\">"));
    }

    private static String between(String text, String start, String end) {
        int from = text.indexOf(start) + start.length();
        return text.substring(from, text.indexOf(end, from));
    }
}
