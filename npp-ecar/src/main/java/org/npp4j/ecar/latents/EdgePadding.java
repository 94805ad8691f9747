package org.npp4j.ecar.latents;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * Images [B, C, H, W] in the middle of squares, continued by their edge pixels on all sides, and cut out of them again.
 *
 * @param height of the images in pixels
 * @param width of the images in pixels
 * @param side of the square, at least height and width
 */
record EdgePadding(int height, int width, int side) {
    private int top() {
        return (side - height) / 2;
    }

    private int left() {
        return (side - width) / 2;
    }

    /** [B, C, H, W] -> [B, C, side, side]. */
    INDArray pad(INDArray images) {
        if (side == height && side == width) {
            return images;
        }
        long[] shape = {images.size(0), images.size(1), side, width};
        INDArray rows = Nd4j.createUninitialized(DataType.FLOAT, shape, 'c');
        for (int y = 0; y < side; y++) {
            int from = Math.min(height - 1, Math.max(0, y - top()));
            line(rows, 2, y).assign(line(images, 2, from));
        }
        shape[3] = side;
        INDArray all = Nd4j.createUninitialized(DataType.FLOAT, shape, 'c');
        for (int x = 0; x < side; x++) {
            int from = Math.min(width - 1, Math.max(0, x - left()));
            line(all, 3, x).assign(line(rows, 3, from));
        }
        return all;
    }

    /** [B, C, side, side] -> [B, C, H, W]. */
    INDArray cut(INDArray squares) {
        return squares.get(
                        NDArrayIndex.all(),
                        NDArrayIndex.all(),
                        NDArrayIndex.interval(top(), top() + height),
                        NDArrayIndex.interval(left(), left() + width))
                .dup('c');
    }

    private static INDArray line(INDArray images, int axis, int at) {
        return axis == 2
                ? images.get(NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.point(at), NDArrayIndex.all())
                : images.get(NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.point(at));
    }
}
