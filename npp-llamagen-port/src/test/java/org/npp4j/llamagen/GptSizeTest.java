package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import java.util.function.Supplier;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The published sizes. Exact numbers are those of the published module built on PyTorch's "meta" device, which holds shapes
 * and no values: for classes sum(numel of parameters()), for captions that and numel of the buffer uncond_embedding.
 */
class GptSizeTest {

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "GPT-B, 110888448, 112282368, 111e6, 5e5",
        "GPT-L, 342910976, 345031680, 343e6, 5e5",
        "GPT-XL, 774699520, 777678080, 775e6, 5e5",
        "GPT-XXL, 1410972672, 1414940160, 1.4e9, 5e7",
        "GPT-XXXL, 3893027840, 3902261760, 3.9e9, 5e7",
        "GPT-1B, 1199616000, 1205954560, 1.2e9, 5e7",
        "GPT-3B, 3096659200, 3110249600, 3.1e9, 5e7",
        "GPT-7B, 6614589440, 6635655168, 6.6e9, 5e7"
    })
    void countsOfClassesAndCaptions(String name, long classes, long captions, double published, double rounding) {
        GptSize size = GptSize.named(name);
        long buffer = 120 * 2048;
        GptSpec own = size.spec().build();
        assertEquals(size.textConditional() ? captions + buffer : classes, own.parameters());
        assertEquals(classes, own.toBuilder().classes(1000).build().parameters());
        assertEquals(captions + buffer, own.toBuilder().captions().build().parameters());
        assertEquals(published, size.textConditional() ? captions : classes, rounding);
        assertEquals(own, GptConfig.parse("{\"gpt_model\": \"" + name + "\"}").spec());
    }

    /** In long arithmetic throughout, and without allocating the 26 GB of the largest. */
    @ParameterizedTest
    @EnumSource(GptSize.class)
    void configurationsCountTheSame(GptSize size) {
        ComputationGraphConfiguration configuration =
                LlamaGen.of(size).publishedTraining().build();
        long total = 0;
        for (Map.Entry<String, GraphVertex> vertex : configuration.getVertices().entrySet()) {
            long parameters = vertex.getValue().numParams(true);
            assertTrue(parameters >= 0, vertex::getKey);
            total += parameters;
        }
        assertEquals(size.spec().build().parameters(), total);
        assertEquals(size.layers() + 6, configuration.getVertices().size());
    }

    @Test
    void everySizeHasItsMethod() {
        Map<GptSize, Supplier<LlamaGen>> methods = Map.of(
                GptSize.GPT_B, LlamaGen::gptB,
                GptSize.GPT_L, LlamaGen::gptL,
                GptSize.GPT_XL, LlamaGen::gptXL,
                GptSize.GPT_XXL, LlamaGen::gptXXL,
                GptSize.GPT_XXXL, LlamaGen::gptXXXL,
                GptSize.GPT_1B, LlamaGen::gpt1B,
                GptSize.GPT_3B, LlamaGen::gpt3B,
                GptSize.GPT_7B, LlamaGen::gpt7B);
        assertEquals(GptSize.values().length, methods.size());
        methods.forEach((size, method) -> {
            assertEquals(size.spec().build(), method.get().spec());
            assertEquals(size.spec().build(), LlamaGen.of(size.label()).spec());
            assertEquals(size, GptSize.named(" " + size.toString().toLowerCase(java.util.Locale.ROOT)));
        });
    }

    @Test
    void refusesOtherNames() {
        for (String name : new String[] {"GPT-XXXXL", "", null}) {
            assertEquals(
                    "There is no published size \"" + name + "\". Choose one of GPT-B, GPT-L, GPT-XL, GPT-XXL,"
                            + " GPT-XXXL, GPT-1B, GPT-3B, GPT-7B",
                    assertThrows(IllegalArgumentException.class, () -> LlamaGen.of(name))
                            .getMessage());
        }
    }
}
