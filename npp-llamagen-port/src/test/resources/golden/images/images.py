"""Makes the golden pictures: synthetic pictures of every kind, and what Pillow makes of them.

Needs NumPy, Pillow, and cjpeg and djpeg of libjpeg-turbo. Usage: python3 images.py [folder of photos]
"""
import hashlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
expected = {}


# pictures

def smooth(height, width, channels=3):
    """Clouds: low frequencies and a little noise, so that every coefficient of a JPEG occurs."""
    low = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, channels), dtype=np.uint8)
    planes = [np.array(Image.fromarray(low[:, :, c]).resize((width, height), Image.BICUBIC)) for c in range(channels)]
    noise = rng.integers(-20, 21, (height, width, channels))
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


def keep(name, data):
    with open(name, "wb") as file:
        file.write(data)
    expected[name] = np.array(Image.open(name).convert("RGB"))


# JPEG

def cjpeg(array, *options):
    height, width = array.shape[:2]
    ppm = b"P6 %d %d 255\n" % (width, height) + array.tobytes()
    return subprocess.run(["cjpeg", "-quality", "80", *options], input=ppm, stdout=subprocess.PIPE, check=True).stdout


def pillow_jpeg(array, mode, **options):
    out = io.BytesIO()
    Image.fromarray(array, mode).save(out, "JPEG", quality=80, **options)
    return out.getvalue()


def insert(jpeg, marker, content):
    """A segment right behind the start."""
    return jpeg[:2] + struct.pack(">BBH", 255, marker, len(content) + 2) + content + jpeg[2:]


def orientation(value):
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HH", value, 0) + b"\0\0\0\0"


def without_markers(jpeg):
    """Neither JFIF nor Adobe."""
    length = struct.unpack(">H", jpeg[4:6])[0]
    return jpeg[:2] + jpeg[4 + length:]


def jpegs():
    for name, sampling in (("444", "1x1"), ("422", "2x1"), ("420", "2x2"), ("440", "1x2"), ("411", "4x1"),
                           ("410", "4x2"), ("mixed", "2x2,2x1,1x2")):
        keep(f"jpeg-{name}.jpg", cjpeg(smooth(29, 37), "-sample", sampling))
    for size in ((1, 1), (2, 3), (8, 8), (9, 17), (16, 16), (17, 5)):
        keep(f"jpeg-{size[0]}x{size[1]}.jpg", cjpeg(smooth(*size), "-sample", "2x2"))
    keep("jpeg-progressive.jpg", cjpeg(smooth(29, 37), "-progressive", "-sample", "2x2"))
    keep("jpeg-restart.jpg", cjpeg(smooth(29, 37), "-restart", "2", "-sample", "2x1"))
    keep("jpeg-grey.jpg", pillow_jpeg(smooth(29, 37, 1)[:, :, 0], "L"))
    keep("jpeg-rgb.jpg", cjpeg(smooth(29, 37), "-rgb"))
    keep("jpeg-no-markers.jpg", without_markers(cjpeg(smooth(29, 37))))
    keep("jpeg-no-markers-rgb.jpg", without_markers(cjpeg(smooth(29, 37), "-rgb")))
    keep("jpeg-orientation.jpg", insert(cjpeg(smooth(29, 37)), 0xe1, orientation(6)))
    keep("jpeg-broken-profile.jpg", insert(cjpeg(smooth(29, 37)), 0xe2, b"ICC_PROFILE\0\1\1" + b"broken" * 20))
    cmyk = pillow_jpeg(smooth(29, 37, 4), "CMYK")
    keep("jpeg-cmyk.jpg", cmyk)
    keep("jpeg-cmyk-no-markers.jpg", cmyk.replace(b"Adobe", b"adobe"))
    at = cmyk.index(b"Adobe") + 11
    keep("jpeg-ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1:])
    unsmoothed = subprocess.run(["djpeg", "-nosmooth", "jpeg-440.jpg"], stdout=subprocess.PIPE, check=True).stdout
    expected["jpeg-440.jpg unsmoothed"] = np.array(Image.open(io.BytesIO(unsmoothed)))


# PNG

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(values, bits):
    """[H, W, C] -> [H, bytes of a row]."""
    shifts = np.arange(bits)[::-1]
    rows = (values[..., None] >> shifts & 1).reshape(values.shape[0], -1).astype(np.uint8)
    return np.packbits(rows, axis=1)


def filtered(rows, step):
    """Each row with another one of the five filters."""
    out = b""
    before = np.zeros(rows.shape[1], int)
    for y, row in enumerate(rows.astype(int)):
        left = np.concatenate([np.zeros(step, int), row])[:len(row)]
        corner = np.concatenate([np.zeros(step, int), before])[:len(row)]
        guess = left + before - corner
        a, b, c = abs(guess - left), abs(guess - before), abs(guess - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, before, corner))
        prediction = (0, left, before, (left + before) // 2, paeth)[y % 5]
        out += bytes([y % 5]) + ((row - prediction) % 256).astype(np.uint8).tobytes()
        before = row
    return out


def png(values, colour, bits, interlaced, *chunks):
    height, width, channels = values.shape
    parts = [values[y::dy, x::dx] for y, x, dy, dx in PASSES] if interlaced else [values]
    data = zlib.compress(b"".join(filtered(packed(p, bits), max(1, channels * bits // 8)) for p in parts if p.size))
    half = len(data) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
            + b"".join(chunks) + chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:]) + chunk(b"IEND", b""))


def pngs():
    for colour, bits in ((0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8),
                         (4, 8), (4, 16), (6, 8), (6, 16)):
        palette = [chunk(b"PLTE", rng.bytes(3 << bits))] if colour == 3 else []
        for interlaced in (0, 1):
            values = rng.integers(0, 1 << bits, (13, 11, CHANNELS[colour]))
            name = ("grey", "", "colour", "palette", "grey-alpha", "", "colour-alpha")[colour]
            keep(f"png-{name}-{bits}{'-interlaced' * interlaced}.png", png(values, colour, bits, interlaced, *palette))
    grey, colour = rng.integers(0, 16, (13, 11, 1)), rng.integers(0, 256, (13, 11, 3))
    keep("png-grey-transparent.png", png(grey, 0, 4, 0, chunk(b"tRNS", struct.pack(">H", grey[0, 0, 0]))))
    keep("png-grey16-small.png", png(np.arange(0, 572, 4).reshape(13, 11, 1), 0, 16, 0))
    keep("png-colour-transparent.png", png(colour, 2, 8, 0, chunk(b"tRNS", struct.pack(">3H", *colour[0, 0]))))
    indices = rng.integers(0, 256, (13, 11, 1))
    keep("png-palette-transparent.png",
         png(indices, 3, 8, 0, chunk(b"PLTE", rng.bytes(768)), chunk(b"tRNS", rng.bytes(256))))
    keep("png-palette-short.png", png(indices, 3, 8, 0, chunk(b"PLTE", rng.bytes(300))))
    keep("png-broken-profile.png",
         png(colour, 2, 8, 0, chunk(b"iCCP", b"x\0\0" + zlib.compress(b"broken")), chunk(b"gAMA", struct.pack(">I", 100000))))
    keep("png-orientation.png", png(colour, 2, 8, 0, chunk(b"eXIf", orientation(6)[6:])))


# crops

def center_crop(image, size):
    while min(image.size) >= 2 * size:
        image = image.resize(tuple(x // 2 for x in image.size), resample=Image.BOX)
    scale = size / min(image.size)
    image = image.resize(tuple(round(x * scale) for x in image.size), resample=Image.BICUBIC)
    array = np.array(image)
    y, x = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
    return array[y:y + size, x:x + size]


def ten_crops(array, size):
    def five(a):
        height, width = a.shape[:2]
        middle = round((height - size) / 2), round((width - size) / 2)
        corners = (0, 0), (0, width - size), (height - size, 0), (height - size, width - size), middle
        return [a[y:y + size, x:x + size] for y, x in corners]
    return np.stack(five(array) + five(array[:, ::-1]))


def crops():
    arrays = {}
    for i, (height, width, size, ten) in enumerate((
            (75, 100, 28, 25), (61, 40, 20, 16), (33, 90, 17, 12), (16, 16, 16, 15), (9, 14, 23, 20), (5, 60, 7, 6))):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8) if i % 2 else smooth(height, width)
        image = Image.fromarray(picture)
        arrays[f"{i}.picture"] = picture
        arrays[f"{i}.centre.{size}"] = center_crop(image, size)
        arrays[f"{i}.ten.{size}.{ten}"] = ten_crops(center_crop(image, size), ten)
        for name, method in (("BOX", Image.BOX), ("BICUBIC", Image.BICUBIC)):
            for h, w in ((height // 2, width // 2), (height, 7), (31, width), (3, 37), (1, 1)):
                arrays[f"{i}.{name}.{h}.{w}"] = np.array(image.resize((w, h), method))
    np.savez_compressed("crops.npz", **arrays)


def photos(root):
    """Digests of the ten crops of 256 of the centre crop of 281, [10, 3, 256, 256]."""
    with open("photos.sha256", "w") as out:
        for folder in sorted(os.listdir(root)):
            for name in sorted(os.listdir(os.path.join(root, folder))):
                image = Image.open(os.path.join(root, folder, name)).convert("RGB")
                planar = np.ascontiguousarray(ten_crops(center_crop(image, 281), 256).transpose(0, 3, 1, 2))
                out.write(hashlib.sha256(planar.tobytes()).hexdigest() + "  " + folder + "/" + name + "\n")


if __name__ == "__main__":
    jpegs()
    pngs()
    np.savez_compressed("expected.npz", **expected)
    crops()
    if len(sys.argv) > 1:
        photos(sys.argv[1])
