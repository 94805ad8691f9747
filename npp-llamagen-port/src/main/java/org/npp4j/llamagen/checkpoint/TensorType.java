package org.npp4j.llamagen.checkpoint;

import org.nd4j.linalg.api.buffer.DataType;

/** The types of numbers that both PyTorch and ND4J have. */
public enum TensorType {
    /** 8 bytes, floating point. */
    FLOAT64("float64", 8, DataType.DOUBLE),
    /** 4 bytes, floating point. */
    FLOAT32("float32", 4, DataType.FLOAT),
    /** 2 bytes, floating point of 5 exponent and 10 mantissa bits. */
    FLOAT16("float16", 2, DataType.FLOAT16),
    /** 2 bytes, the upper half of a FLOAT32. */
    BFLOAT16("bfloat16", 2, DataType.BFLOAT16),
    /** 8 bytes, signed. */
    INT64("int64", 8, DataType.INT64),
    /** 4 bytes, signed. */
    INT32("int32", 4, DataType.INT32),
    /** 2 bytes, signed. */
    INT16("int16", 2, DataType.INT16),
    /** 1 byte, signed. */
    INT8("int8", 1, DataType.INT8),
    /** 1 byte, 0 to 255. */
    UINT8("uint8", 1, DataType.UINT8),
    /** 1 byte, 0 or 1. */
    BOOL("bool", 1, DataType.BOOL);

    private final String label;
    private final int bytes;
    private final DataType dataType;

    TensorType(String label, int bytes, DataType dataType) {
        this.label = label;
        this.bytes = bytes;
        this.dataType = dataType;
    }

    /**
     * Finds the type of an ND4J array.
     *
     * @param dataType ND4J's type
     * @return the type
     * @throws IllegalArgumentException if checkpoints cannot hold such numbers
     */
    public static TensorType of(DataType dataType) {
        for (TensorType type : values()) {
            if (type.dataType == dataType) {
                return type;
            }
        }
        throw new IllegalArgumentException("Arrays of type " + dataType
                + " cannot be written to a checkpoint; cast the array to one of FLOAT, DOUBLE, HALF, BFLOAT16, INT64,"
                + " INT32, INT16, INT8, UINT8, BOOL");
    }

    /** {@return the name as PyTorch says it, such as float32} */
    public String label() {
        return label;
    }

    /** {@return the bytes of one number} */
    public int bytes() {
        return bytes;
    }

    /** {@return ND4J's name of the type} */
    public DataType dataType() {
        return dataType;
    }
}
