package org.npp4j.layers.kernel.onednn;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.bytedeco.dnnl.global.dnnl;
import org.junit.jupiter.api.Test;

class OneDnnBf16ProductsTest {
    @Test
    void aProcessorWithoutBf16IsRefused() {
        for (int isa : new int[] {
            dnnl.dnnl_cpu_isa_sse41,
            dnnl.dnnl_cpu_isa_avx2,
            dnnl.dnnl_cpu_isa_avx512_core,
            dnnl.dnnl_cpu_isa_avx512_core_vnni
        }) {
            String message = assertThrows(IllegalStateException.class, () -> OneDnnBf16Products.requireBf16(isa))
                    .getMessage();
            assertTrue(message.contains("lacks products in bf16 (avx512_bf16 or amx_bf16"), message);
            assertTrue(message.endsWith("Train in float"), message);
        }
        OneDnnBf16Products.requireBf16(dnnl.dnnl_cpu_isa_avx512_core_bf16);
        OneDnnBf16Products.requireBf16(dnnl.dnnl_cpu_isa_avx512_core_amx);
    }
}
