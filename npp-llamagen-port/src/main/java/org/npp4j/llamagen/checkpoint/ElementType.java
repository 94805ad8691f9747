package org.npp4j.llamagen.checkpoint;

import java.util.HashMap;
import java.util.Map;

/**
 * A type of numbers that a file may hold, also where ND4J has none like it.
 *
 * @param label as PyTorch says it
 * @param bytes of one number; 0 if that is not known here
 * @param type the type to read it as, or null
 */
record ElementType(String label, int bytes, TensorType type) {
    private static final Map<String, ElementType> BY_DTYPE = new HashMap<>();
    private static final Map<String, ElementType> BY_STORAGE = new HashMap<>();
    private static final Map<String, ElementType> BY_SAFETENSORS = new HashMap<>();

    static {
        known(TensorType.FLOAT64, "Double", "F64", "double");
        known(TensorType.FLOAT32, "Float", "F32", "float");
        known(TensorType.FLOAT16, "Half", "F16", "half");
        known(TensorType.BFLOAT16, "BFloat16", "BF16", null);
        known(TensorType.INT64, "Long", "I64", "long");
        known(TensorType.INT32, "Int", "I32", "int");
        known(TensorType.INT16, "Short", "I16", "short");
        known(TensorType.INT8, "Char", "I8", null);
        known(TensorType.UINT8, "Byte", "U8", null);
        known(TensorType.BOOL, "Bool", "BOOL", null);
        other("complex32", 4, null, null);
        other("complex64", 8, "ComplexFloat", "C64");
        other("complex128", 16, "ComplexDouble", null);
        other("uint16", 2, null, "U16");
        other("uint32", 4, null, "U32");
        other("uint64", 8, null, "U64");
        other("float8_e4m3fn", 1, null, "F8_E4M3");
        other("float8_e4m3fnuz", 1, null, null);
        other("float8_e5m2", 1, null, "F8_E5M2");
        other("float8_e5m2fnuz", 1, null, null);
        other("float8_e8m0fnu", 1, null, "F8_E8M0");
        other("qint8", 1, "QInt8", null);
        other("quint8", 1, "QUInt8", null);
        other("qint32", 4, "QInt32", null);
        other("quint4x2", 1, "QUInt4x2", null);
        other("quint2x4", 1, "QUInt2x4", null);
    }

    private static void known(TensorType type, String storage, String safetensors, String alias) {
        ElementType element = new ElementType(type.label(), type.bytes(), type);
        add(element, storage, safetensors);
        if (alias != null) {
            BY_DTYPE.put(alias, element);
        }
    }

    private static void other(String label, int bytes, String storage, String safetensors) {
        add(new ElementType(label, bytes, null), storage, safetensors);
    }

    private static void add(ElementType element, String storage, String safetensors) {
        BY_DTYPE.put(element.label, element);
        if (storage != null) {
            BY_STORAGE.put(storage + "Storage", element);
        }
        if (safetensors != null) {
            BY_SAFETENSORS.put(safetensors, element);
        }
    }

    /** A type such as torch.float32 by its name without torch. */
    static ElementType ofDtype(String name) {
        return BY_DTYPE.getOrDefault(name, new ElementType(name, 0, null));
    }

    /** The type of a storage class such as torch.FloatStorage by its name without torch; bytes for an untyped one. */
    static ElementType ofStorage(String name) {
        return name.equals("UntypedStorage")
                ? BY_DTYPE.get("uint8")
                : BY_STORAGE.getOrDefault(name, new ElementType(name, 0, null));
    }

    static ElementType ofSafetensors(String name) {
        return BY_SAFETENSORS.getOrDefault(name, new ElementType(name, 0, null));
    }

    static String storageOf(TensorType type) {
        return keyOf(BY_STORAGE, type);
    }

    static String safetensorsOf(TensorType type) {
        return keyOf(BY_SAFETENSORS, type);
    }

    private static String keyOf(Map<String, ElementType> names, TensorType type) {
        for (Map.Entry<String, ElementType> entry : names.entrySet()) {
            if (entry.getValue().type == type) {
                return entry.getKey();
            }
        }
        throw new IllegalStateException("No name for " + type);
    }
}
