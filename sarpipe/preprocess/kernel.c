/* The steps of preprocessing that take its time, for images of 32-bit floats.
 *
 * Same input, same bits, on every machine that runs this file: sums are taken in the order that is written here, eight
 * pixels side by side, never across them; fused multiply-adds are asked for by name and the compiler makes no others
 * (-ffp-contract=off). It needs AVX2, FMA and F16C on x86-64, or any 64-bit ARM; on other machines the module cannot be
 * imported and sarpipe takes the same steps in numpy and OpenCV (sarpipe/preprocess/kernel.py states the difference).
 *
 * All buffers are contiguous. Their sizes are checked here; what they mean is said in the Python modules that call.
 * The interpreter's lock is released while a function works.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#include <immintrin.h>
#elif !defined(__aarch64__)
#error "neither x86-64 nor 64-bit ARM"
#endif

/* Eight pixels. Loads and stores need not be aligned. */
typedef float f8 __attribute__((vector_size(32)));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef float f8u __attribute__((vector_size(32), aligned(4), may_alias));

#define LANES 8
#define INLINE static inline __attribute__((always_inline))

INLINE f8 load(const float *from) { return *(const f8u *)from; }
INLINE void store(float *to, f8 value) { *(f8u *)to = value; }
INLINE f8 all(float value) { return (f8){value, value, value, value, value, value, value, value}; }
INLINE f8 choose(i8 mask, f8 yes, f8 no) { return (f8)((mask & (i8)yes) | (~mask & (i8)no)); }

INLINE f8 fma8(f8 a, f8 b, f8 c) {
#if defined(__x86_64__)
    return (f8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    f8 result;
    for (int i = 0; i < LANES; i++) result[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return result;
#endif
}

INLINE f8 larger(f8 a, f8 b) {
#if defined(__x86_64__)
    return (f8)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return choose(a > b, a, b);
#endif
}

INLINE f8 root8(f8 value) {
#if defined(__x86_64__)
    return (f8)_mm256_sqrt_ps((__m256)value);
#else
    for (int i = 0; i < LANES; i++) value[i] = __builtin_sqrtf(value[i]);
    return value;
#endif
}

/* 2^t of up to five vectors, t <= 0, to 3e-6 of it; exactly 1 at 0 and exactly 0 below -127. Step by step for all of
 * them: each alone is a chain in which every step waits for the one before. */
INLINE void exp2_all(f8 t[], const int n) {
    const f8 magic = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number, kept in the low bits */
    f8 shifted[5], p[5];
    for (int i = 0; i < n; i++) t[i] = larger(t[i], all(-127.0f));
    for (int i = 0; i < n; i++) shifted[i] = t[i] + magic;
    for (int i = 0; i < n; i++) t[i] = t[i] - (shifted[i] - magic); /* -0.5 .. 0.5 */
    for (int i = 0; i < n; i++) p[i] = fma8(all(9.58538239e-3f), t[i], all(5.59066283e-2f));
    for (int i = 0; i < n; i++) p[i] = fma8(p[i], t[i], all(2.40240382e-1f));
    for (int i = 0; i < n; i++) p[i] = fma8(p[i], t[i], all(6.93124184e-1f));
    for (int i = 0; i < n; i++) p[i] = fma8(p[i], t[i], all(1.0f));
    for (int i = 0; i < n; i++) t[i] = (f8)((i8)p[i] + ((i8)shifted[i] << 23));
}

INLINE f8 exp2_8(f8 t) {
    exp2_all(&t, 1);
    return t;
}

/* Borders are mirrored without repeating the edge (OpenCV's BORDER_REFLECT_101). */
INLINE Py_ssize_t mirror(Py_ssize_t i, Py_ssize_t size) {
    if (i < 0) i = -i;
    return i < size ? i : 2 * (size - 1) - i;
}

/* ---- values and masks ---- */

/* The smallest and the largest of a multiple of eight numbers. */
static void spread(const float *values, Py_ssize_t n, float *low, float *high) {
    f8 least = load(values), most = least;
    for (Py_ssize_t i = LANES; i < n; i += LANES) {
        least = -larger(-least, -load(values + i));
        most = larger(most, load(values + i));
    }
    *low = least[0];
    *high = most[0];
    for (int i = 1; i < LANES; i++) {
        *low = least[i] < *low ? least[i] : *low;
        *high = most[i] > *high ? most[i] : *high;
    }
}

/* Whether all are finite: those that are not have all bits of the exponent. */
static int widen_row(const uint16_t *half, float *out, Py_ssize_t n) {
    const uint16_t exponent = 0x7c00;
    int finite = 1;
    Py_ssize_t i = 0;
#if defined(__x86_64__)
    const __m128i every = _mm_set1_epi16((short)exponent);
    __m128i not_finite = _mm_setzero_si128();
    for (; i + LANES <= n; i += LANES) {
        __m128i eight = _mm_loadu_si128((const __m128i *)(half + i));
        not_finite = _mm_or_si128(not_finite, _mm_cmpeq_epi16(_mm_and_si128(eight, every), every));
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(eight));
    }
    finite = _mm_testz_si128(not_finite, not_finite);
#endif
    for (; i < n; i++) {
        finite &= (half[i] & exponent) != exponent;
#if defined(__x86_64__)
        out[i] = _cvtsh_ss(half[i]);
#else
        __fp16 value;
        memcpy(&value, half + i, sizeof value);
        out[i] = (float)value;
#endif
    }
    return finite;
}

static void narrow_row(const float *values, uint16_t *half, Py_ssize_t n) {
    Py_ssize_t i = 0;
#if defined(__x86_64__)
    for (; i + LANES <= n; i += LANES)
        _mm_storeu_si128((__m128i *)(half + i), _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) half[i] = _cvtss_sh(values[i], _MM_FROUND_TO_NEAREST_INT);
#else
    for (; i < n; i++) {
        __fp16 value = (__fp16)values[i];
        memcpy(half + i, &value, sizeof value);
    }
#endif
}

/* Finite, above the floor, and not the filler of 0 dB in both polarisations. */
static Py_ssize_t mask_date(const float *vv, const float *vh, float floor_db, uint8_t *vv_valid, uint8_t *vh_valid,
                            Py_ssize_t n) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint8_t filled = (vv[i] == 0.0f) & (vh[i] == 0.0f);
        uint8_t a = (vv[i] > floor_db) & (vv[i] < INFINITY) & !filled;
        uint8_t b = (vh[i] > floor_db) & (vh[i] < INFINITY) & !filled;
        vv_valid[i] = a;
        vh_valid[i] = b;
        count += a + b;
    }
    return count;
}

/* dB to grey levels: the window's ends are 0 and 255; rounded to the nearest, ties to even. */
static void quantise_image(const float *db, float low, float scale, uint8_t *restrict out, Py_ssize_t n) {
    const f8 magic = all(8388608.0f); /* 2^23: adding it rounds to a whole number, kept in the low bits */
    for (Py_ssize_t i = 0; i < n; i += LANES) {
        f8 level = larger((load(db + i) - all(low)) * all(scale), all(0.0f)); /* what is NaN becomes 0 too */
        level = -larger(-level, all(-255.0f));
        i8 whole = (i8)(level + magic);
        for (int lane = 0; lane < LANES; lane++) out[i + lane] = (uint8_t)whole[lane];
    }
}

/* ---- bilateral filter ---- */

#define MAX_RADIUS 5
#define MARGIN 16     /* pixels left and right: whole vectors, and a radius beyond them */
#define NOWHERE 1e18f /* so far from any backscatter that its weight is exactly 0 */

/* The image times a factor, with mirrored pixels around it; pixels without data lie nowhere. Rows are `pitch` apart. */
static void pad_scaled(const float *image, const uint8_t *valid, float *padded, Py_ssize_t height, Py_ssize_t width,
                       Py_ssize_t radius, Py_ssize_t pitch, float centre, float scale) {
    Py_ssize_t margin = (pitch - width) / 2;
    for (Py_ssize_t y = -radius; y < height + radius; y++) {
        Py_ssize_t from = mirror(y, height) * width;
        float *row = padded + (y + radius) * pitch + margin;
        for (Py_ssize_t x = 0; x < width; x++) {
            float value = (image[from + x] - centre) * scale;
            row[x] = !valid || valid[from + x] ? value : NOWHERE;
        }
        for (Py_ssize_t x = 1; x <= margin; x++) {
            row[-x] = x <= radius ? row[x] : NOWHERE;
            row[width - 1 + x] = x <= radius ? row[width - 1 - x] : NOWHERE;
        }
    }
}

/* The weight of two pixels is the same from both sides, so it is taken once: a row with the `n` rows below it, all at
 * one shift in x. Each stretch of pixels adds to its own sums, and to those below. */
INLINE void add_pairs(const float *const row[], float *const sum[], Py_ssize_t pitch, Py_ssize_t dx, const float *space,
                      Py_ssize_t width, const int n) {
    const float *from[MAX_RADIUS + 1];
    float *to[MAX_RADIUS + 1]; /* the weights lie a pitch behind the sums */
    f8 exponent[MAX_RADIUS + 1];
    for (int dy = 0; dy <= n; dy++) {
        from[dy] = row[dy] + (dy ? dx : 0);
        to[dy] = sum[dy] + (dy ? dx : 0);
        exponent[dy] = all(space[dy]);
    }
    for (Py_ssize_t x = -LANES; x < width + LANES; x += LANES) {
        f8 centre = load(from[0] + x), own_sum = load(to[0] + x), own_weight = load(to[0] + pitch + x);
        f8 difference[MAX_RADIUS], share[MAX_RADIUS];
        for (int i = 0; i < n; i++) difference[i] = load(from[i + 1] + x) - centre;
        for (int i = 0; i < n; i++) share[i] = fma8(-difference[i], difference[i], exponent[i + 1]);
        exp2_all(share, n);
        for (int i = 0; i < n; i++) {
            float *sums = to[i + 1] + x, *weights = sums + pitch;
            own_sum = fma8(share[i], difference[i], own_sum);
            own_weight += share[i];
            store(sums, fma8(-share[i], difference[i], load(sums)));
            store(weights, load(weights) + share[i]);
        }
        store(to[0] + x, own_sum);
        store(to[0] + pitch + x, own_weight);
    }
}

/* The neighbours in the row itself, and the quotient. */
INLINE void finish_row(const float *image, const float *row, const float *sum, const float *weight, float *out,
                       const float *space, Py_ssize_t radius, Py_ssize_t width, float inverse) {
    for (Py_ssize_t x = 0; x < width; x += LANES) {
        f8 centre = load(row + x), total = load(sum + x), weights = load(weight + x) + all(1.0f);
        for (Py_ssize_t dx = 1; dx <= radius; dx++) {
            f8 difference[2] = {load(row + x - dx) - centre, load(row + x + dx) - centre}, share[2];
            for (int i = 0; i < 2; i++) share[i] = fma8(-difference[i], difference[i], all(space[dx]));
            exp2_all(share, 2);
            for (int i = 0; i < 2; i++) total = fma8(share[i], difference[i], total);
            weights += share[0] + share[1];
        }
        store(out + x, fma8(total / weights, all(inverse), load(image + x)));
    }
}

/* Every neighbour by itself: for range kernels that are narrow against the spread of the image. The sums of the rows
 * that are under way lie in a ring of radius + 1 rows, which stays in the nearest cache. */
static void bilateral_direct(const float *image, const float *padded, const uint8_t *valid, float *out, float *ring,
                             Py_ssize_t height, Py_ssize_t width, Py_ssize_t radius, Py_ssize_t pitch, float scale,
                             float sigma_space) {
    Py_ssize_t rows = radius + 1;
    float space[MAX_RADIUS + 1][MAX_RADIUS + 1]; /* [dx][dy], as exponents of 2 */
    int reach[MAX_RADIUS + 1];                   /* the largest dy on the disc at each dx */
    for (Py_ssize_t dx = 0; dx <= radius; dx++)
        for (Py_ssize_t dy = 0; dy <= radius; dy++) {
            if (dx * dx + dy * dy <= radius * radius) reach[dx] = (int)dy;
            space[dx][dy] = (float)(-(double)(dx * dx + dy * dy) / (2 * (double)sigma_space * sigma_space) * M_LOG2E);
        }
    memset(ring, 0, (size_t)(2 * rows * pitch) * sizeof(float));
    for (Py_ssize_t y = -radius; y < height; y++) {
        const float *row[MAX_RADIUS + 1];
        float *sum[MAX_RADIUS + 1] = {NULL}, in_row[MAX_RADIUS + 1];
        for (Py_ssize_t dy = 0; dy <= radius; dy++) {
            row[dy] = padded + (y + radius + dy) * pitch + MARGIN;
            sum[dy] = ring + 2 * ((y + radius + dy) % rows) * pitch + MARGIN;
        }
        for (Py_ssize_t dx = -radius; dx <= radius; dx++) {
            const float *exponents = space[dx < 0 ? -dx : dx];
            switch (reach[dx < 0 ? -dx : dx]) {
            case 1: add_pairs(row, sum, pitch, dx, exponents, width, 1); break;
            case 2: add_pairs(row, sum, pitch, dx, exponents, width, 2); break;
            case 3: add_pairs(row, sum, pitch, dx, exponents, width, 3); break;
            case 4: add_pairs(row, sum, pitch, dx, exponents, width, 4); break;
            case 5: add_pairs(row, sum, pitch, dx, exponents, width, 5); break;
            }
        }
        for (Py_ssize_t dx = 0; dx <= radius; dx++) in_row[dx] = space[dx][0];
        if (y >= 0)
            finish_row(image + y * width, row[0], sum[0], sum[0] + pitch, out + y * width, in_row, radius, width,
                       1.0f / scale);
        memset(sum[0] - MARGIN, 0, (size_t)(2 * pitch) * sizeof(float));
    }
    if (valid)
        for (Py_ssize_t i = 0; i < height * width; i++) out[i] = valid[i] ? out[i] : NAN;
}

/* A range kernel that is wide against the spread of the image, on the disc of nine pixels. With z the values in units
 * of sigma around the middle of the image, exp(-(p - q)^2 / 2) = exp(-p^2 / 2) exp(-q^2 / 2) exp(p q), the first factor
 * cancels between numerator and denominator, and exp(p q) is a short series in p q: sums over fixed discs of
 * q^k exp(-q^2 / 2) are all that is needed. `terms` terms of the series are taken, so terms + 1 such fields. */
#define WIDE_RADIUS 4
#define MAX_TERMS 8

static void bilateral_wide(const float *padded, float *out, float *work, Py_ssize_t height, Py_ssize_t width, int terms,
                           float centre, float sigma, const float space[WIDE_RADIUS + 1]) {
    Py_ssize_t pitch = width + 2 * WIDE_RADIUS, rows = 2 * WIDE_RADIUS + 1;
    int fields = terms + 1;
    const f8 g1 = all(space[1]), g2 = all(space[2]), g3 = all(space[3]), g4 = all(space[4]);
    float *ring = work;                           /* [fields][9 rows][pitch] */
    float *sums = ring + fields * rows * pitch;   /* [columns of 5, 7 and 9][pitch] */
    float *num = sums + 3 * pitch, *den = num + width;
    float inverse_factorial[MAX_TERMS + 1] = {1.0f};
    for (int k = 1; k <= MAX_TERMS; k++) inverse_factorial[k] = inverse_factorial[k - 1] / (float)k;
    for (Py_ssize_t line = 0; line < height + 2 * WIDE_RADIUS; line++) {
        const float *z = padded + line * pitch;
        for (Py_ssize_t x = 0; x < pitch; x += LANES) {
            f8 value = load(z + x);
            f8 field = exp2_8(value * value * all((float)(-0.5 * M_LOG2E)));
            for (int k = 0; k < fields; k++, field *= value) store(ring + (k * rows + line % rows) * pitch + x, field);
        }
        Py_ssize_t y = line - 2 * WIDE_RADIUS;
        if (y < 0) continue;
        for (int k = fields - 1; k >= 0; k--) {
            const float *at[2 * WIDE_RADIUS + 1];
            for (Py_ssize_t i = 0; i < rows; i++) at[i] = ring + (k * rows + (y + i) % rows) * pitch;
            /* Columns of 1, 5, 7 and 9 pixels: the disc is 9 high in its middle and 1 high at its sides. */
            for (Py_ssize_t x = 0; x < pitch; x += LANES) {
                f8 sum = load(at[4] + x);
                sum = fma8(load(at[3] + x) + load(at[5] + x), g1, sum);
                sum = fma8(load(at[2] + x) + load(at[6] + x), g2, sum);
                store(sums + x, sum);
                sum = fma8(load(at[1] + x) + load(at[7] + x), g3, sum);
                store(sums + pitch + x, sum);
                sum = fma8(load(at[0] + x) + load(at[8] + x), g4, sum);
                store(sums + 2 * pitch + x, sum);
            }
            const float *p = padded + (y + WIDE_RADIUS) * pitch + WIDE_RADIUS;
            const f8 of_den = all(inverse_factorial[k]), of_num = all(inverse_factorial[k ? k - 1 : 0]);
            for (Py_ssize_t x = 0; x < width; x += LANES) {
                const float *of_5 = sums + x + WIDE_RADIUS, *of_7 = of_5 + pitch, *of_9 = of_7 + pitch;
                f8 disc = load(of_9);
                disc = fma8(load(of_7 - 1) + load(of_7 + 1), g1, disc);
                disc = fma8(load(of_7 - 2) + load(of_7 + 2), g2, disc);
                disc = fma8(load(of_5 - 3) + load(of_5 + 3), g3, disc);
                disc = fma8(load(at[4] + x) + load(at[4] + x + 8), g4, disc);
                /* Horner's rule in p, from the last term: field k is term k of the denominator and k - 1 of the other. */
                f8 value = load(p + x);
                if (k == fields - 1) {
                    store(num + x, disc * of_num);
                    store(den + x, all(0.0f));
                } else {
                    if (k) store(num + x, fma8(load(num + x), value, disc * of_num));
                    store(den + x, fma8(load(den + x), value, disc * of_den));
                }
            }
        }
        for (Py_ssize_t x = 0; x < width; x += LANES)
            store(out + y * width + x, fma8(load(num + x) / load(den + x), all(sigma), all(centre)));
    }
}

/* ---- contrast-limited adaptive histogram equalisation ---- */

#define TILES 8
#define LEVELS 256

/* A histogram of `known` pixels, scaled to `count`. */
static void scale_histogram(int32_t *histogram, int32_t known, int32_t count) {
    int64_t seen = 0, scaled = 0;
    for (int i = 0; i < LEVELS; i++) {
        seen += histogram[i];
        histogram[i] = (int32_t)(seen * count / known - scaled);
        scaled += histogram[i];
    }
}

/* The cumulative distribution of a clipped histogram; what is cut off goes to all levels. As OpenCV does it. */
static void clahe_table(const int32_t *histogram, int32_t count, float clip_limit, uint8_t *table) {
    int32_t limit = (int32_t)((double)clip_limit * count / LEVELS);
    int32_t clipped[LEVELS], excess = 0, sum = 0;
    if (limit < 1) limit = 1;
    for (int i = 0; i < LEVELS; i++) {
        int32_t over = histogram[i] > limit ? histogram[i] - limit : 0;
        excess += over;
        clipped[i] = histogram[i] - over;
    }
    int32_t rest = excess % LEVELS;
    for (int i = 0; i < LEVELS; i++) clipped[i] += excess / LEVELS;
    if (rest) {
        int step = LEVELS / rest > 1 ? LEVELS / rest : 1;
        for (int i = 0; i < LEVELS && rest > 0; i += step, rest--) clipped[i]++;
    }
    const f8 scale = all(255.0f / (float)count), magic = all(8388608.0f); /* 2^23: adding it rounds, ties to even */
    for (int i = 0; i < LEVELS; i++) clipped[i] = sum += clipped[i];
    for (int i = 0; i < LEVELS; i += LANES) {
        i8 counts;
        memcpy(&counts, clipped + i, sizeof counts);
        f8 level = -larger(-(__builtin_convertvector(counts, f8) * scale), all(-255.0f));
        i8 whole = (i8)(level + magic);
        for (int lane = 0; lane < LANES; lane++) table[i + lane] = (uint8_t)whole[lane];
    }
}

/* The tables of the tiles; a tile without any valid pixel has none. */
static void clahe_tables(const uint8_t *image, const uint8_t *valid, Py_ssize_t height, Py_ssize_t width,
                         float clip_limit, uint8_t tables[TILES][TILES][LEVELS], uint8_t present[TILES][TILES]) {
    Py_ssize_t rows = height / TILES, columns = width / TILES;
    for (int ty = 0; ty < TILES; ty++)
        for (int tx = 0; tx < TILES; tx++) {
            int32_t partial[4][LEVELS] = {{0}}, count = 0; /* four, as one would wait for itself on equal levels */
            for (Py_ssize_t y = ty * rows; y < (ty + 1) * rows; y++) {
                const uint8_t *line = image + y * width, *here = valid ? valid + y * width : NULL;
                for (Py_ssize_t x = tx * columns; x < (tx + 1) * columns; x++)
                    if (!here || here[x]) {
                        partial[x & 3][line[x]]++;
                        count++;
                    }
            }
            for (int i = 0; i < LEVELS; i++) partial[0][i] += partial[1][i] + partial[2][i] + partial[3][i];
            present[ty][tx] = count > 0;
            if (!count) continue;
            /* So that the limit is as many times the average however many pixels are missing. */
            if (count < rows * columns) scale_histogram(partial[0], count, (int32_t)(rows * columns));
            clahe_table(partial[0], (int32_t)(rows * columns), clip_limit, tables[ty][tx]);
        }
}

/* Where a pixel lies between the middles of the tiles along an axis: the tiles before and after it, and how far. */
typedef struct {
    int before, after;
    float far;
} Between;

INLINE Between between_tiles(Py_ssize_t i, float inverse_size) {
    float position = (float)i * inverse_size - 0.5f;
    int before = (int)floorf(position);
    return (Between){before < 0 ? 0 : before, before + 1 < TILES ? before + 1 : TILES - 1, position - (float)before};
}

/* One pixel where some of its four tiles have no table: the others share its weight. */
INLINE uint8_t blend_some(const uint8_t level[4], const uint8_t present[4], float fx, float fy) {
    float wx[2] = {1.0f - fx, fx}, wy[2] = {1.0f - fy, fy}, total = 0.0f, weights = 0.0f;
    for (int row = 0; row < 2; row++) {
        float line = 0.0f, share = 0.0f;
        for (int column = 0; column < 2; column++) {
            float there = present[2 * row + column] ? wx[column] : 0.0f;
            line += (float)level[2 * row + column] * there;
            share += there;
        }
        total += line * wy[row];
        weights += share * wy[row];
    }
    float result = fabsf(weights - 1.0f) < 1e-5f ? total : total / (weights > 1e-6f ? weights : 1e-6f);
    result = nearbyintf(result);
    return (uint8_t)(result > 255.0f ? 255.0f : result);
}

/* A stretch of a row between the same four tiles, whose tables are packed in one: byte 2 * (lower) + (right). */
INLINE void blend_stretch(const uint8_t *image, uint8_t *out, const uint32_t packed[LEVELS], const float *far,
                          Py_ssize_t n, float fy) {
    Py_ssize_t x = 0;
#if defined(__x86_64__)
    const f8 down = all(fy), up = all(1.0f - fy);
    while (n >= LANES) {
        if (x + LANES > n) x = n - LANES; /* the last pixels once more: it changes nothing */
        __m256i level = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(image + x)));
        __m256i four = _mm256_i32gather_epi32((const int *)packed, level, 4), byte = _mm256_set1_epi32(255);
        f8 a = (f8)_mm256_cvtepi32_ps(_mm256_and_si256(four, byte));
        f8 b = (f8)_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(four, 8), byte));
        f8 c = (f8)_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(four, 16), byte));
        f8 d = (f8)_mm256_cvtepi32_ps(_mm256_srli_epi32(four, 24));
        f8 right = load(far + x), left = all(1.0f) - right;
        f8 result = (a * left + b * right) * up + (c * left + d * right) * down;
        __m256i whole = _mm256_cvtps_epi32((__m256)result); /* to the nearest, ties to even */
        __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        _mm_storel_epi64((__m128i *)(out + x), _mm_packus_epi16(words, words));
        x += LANES;
        if (x >= n) return;
    }
#endif
    for (; x < n; x++) {
        uint32_t four = packed[image[x]];
        float right = far[x], left = 1.0f - right;
        float upper = (float)(four & 255) * left + (float)(four >> 8 & 255) * right;
        float lower = (float)(four >> 16 & 255) * left + (float)(four >> 24) * right;
        float result = nearbyintf(upper * (1.0f - fy) + lower * fy);
        out[x] = (uint8_t)(result > 255.0f ? 255.0f : result);
    }
}

static void clahe_image(const uint8_t *image, const uint8_t *valid, uint8_t *out, float *far, Py_ssize_t height,
                        Py_ssize_t width, float clip_limit) {
    uint8_t tables[TILES][TILES][LEVELS], present[TILES][TILES];
    clahe_tables(image, valid, height, width, clip_limit, tables, present);
    float inverse_height = 1.0f / (float)(height / TILES), inverse_width = 1.0f / (float)(width / TILES);
    for (Py_ssize_t x = 0; x < width; x++) far[x] = between_tiles(x, inverse_width).far;
    for (Py_ssize_t top = 0, bottom; top < height; top = bottom) {
        Between rows = between_tiles(top, inverse_height);
        for (bottom = top + 1; bottom < height; bottom++) {
            Between next = between_tiles(bottom, inverse_height);
            if (next.before != rows.before || next.after != rows.after) break;
        }
        for (Py_ssize_t left = 0, right; left < width; left = right) {
            Between columns = between_tiles(left, inverse_width);
            for (right = left + 1; right < width; right++) {
                Between next = between_tiles(right, inverse_width);
                if (next.before != columns.before || next.after != columns.after) break;
            }
            int ty[2] = {rows.before, rows.after}, tx[2] = {columns.before, columns.after};
            const uint8_t *four[4];
            uint8_t here[4];
            uint32_t packed[LEVELS];
            for (int i = 0; i < 4; i++) {
                four[i] = tables[ty[i / 2]][tx[i % 2]];
                here[i] = present[ty[i / 2]][tx[i % 2]];
            }
            int complete = here[0] && here[1] && here[2] && here[3];
            for (int i = 0; complete && i < LEVELS; i++)
                packed[i] = (uint32_t)four[0][i] | (uint32_t)four[1][i] << 8 | (uint32_t)four[2][i] << 16 |
                            (uint32_t)four[3][i] << 24;
            for (Py_ssize_t y = top; y < bottom; y++) {
                float fy = between_tiles(y, inverse_height).far;
                const uint8_t *from = image + y * width;
                uint8_t *to = out + y * width;
                if (complete) {
                    blend_stretch(from + left, to + left, packed, far + left, right - left, fy);
                    continue;
                }
                for (Py_ssize_t x = left; x < right; x++) {
                    uint8_t level[4];
                    for (int i = 0; i < 4; i++) level[i] = here[i] ? four[i][from[x]] : 0;
                    to[x] = blend_some(level, here, far[x], fy);
                }
            }
        }
    }
    if (valid)
        for (Py_ssize_t i = 0; i < height * width; i++) out[i] = valid[i] ? out[i] : 0;
}

/* ---- Sobel magnitude ---- */

/* Whole numbers below 2^24 until the square root, so the exact magnitude rounded once. */
static void sobel_image(const uint8_t *image, const uint8_t *valid, float *out, int16_t *padded, Py_ssize_t height,
                        Py_ssize_t width) {
    Py_ssize_t pitch = width + 2;
    for (Py_ssize_t y = -1; y <= height; y++) {
        const uint8_t *from = image + mirror(y, height) * width;
        int16_t *row = padded + (y + 1) * pitch + 1;
        for (Py_ssize_t x = 0; x < width; x++) row[x] = from[x];
        row[-1] = row[1];
        row[width] = row[width - 2];
    }
    for (Py_ssize_t y = 0; y < height; y++) {
        const int16_t *a = padded + y * pitch, *b = a + pitch, *c = b + pitch;
        float *to = out + y * width;
        for (Py_ssize_t x = 0; x < width; x++) {
            int32_t across = (a[x + 2] - a[x]) + 2 * (b[x + 2] - b[x]) + (c[x + 2] - c[x]);
            int32_t down = (c[x] - a[x]) + 2 * (c[x + 1] - a[x + 1]) + (c[x + 2] - a[x + 2]);
            to[x] = __builtin_sqrtf((float)(across * across + down * down));
        }
        if (!valid) continue;
        const uint8_t *rows[3];
        for (int i = 0; i < 3; i++) rows[i] = valid + mirror(y + i - 1, height) * width;
        for (Py_ssize_t x = 0; x < width; x++) {
            uint8_t inside = 1;
            for (int dx = -1; dx <= 1; dx++) {
                Py_ssize_t column = mirror(x + dx, width);
                inside &= rows[0][column] & rows[1][column] & rows[2][column];
            }
            if (!inside) to[x] = NAN;
        }
    }
}

/* ---- resampling and statistics ---- */

/* Some stretches of a row at once: one sum would wait for itself. */
INLINE void weigh(const float *from, float *to, Py_ssize_t width, Py_ssize_t taps, const float *weight, const int n) {
    f8 sum[4];
    for (int i = 0; i < n; i++) sum[i] = load(from + i * LANES) * all(weight[0]);
    for (Py_ssize_t tap = 1; tap < taps; tap++) {
        const f8 share = all(weight[tap]);
        for (int i = 0; i < n; i++) sum[i] = fma8(load(from + tap * width + i * LANES), share, sum[i]);
    }
    for (int i = 0; i < n; i++) store(to + i * LANES, sum[i]);
}

/* Each output row is a short weighted sum of input rows: `taps` weights from row `start[row]` on. */
static void along_rows(const float *image, float *out, Py_ssize_t width, Py_ssize_t size, Py_ssize_t taps,
                       const int32_t *start, const float *weights) {
    for (Py_ssize_t row = 0; row < size; row++) {
        const float *from = image + start[row] * width, *weight = weights + row * taps;
        float *to = out + row * width;
        Py_ssize_t x = 0;
        for (; x + 4 * LANES <= width; x += 4 * LANES) weigh(from + x, to + x, width, taps, weight, 4);
        for (; x < width; x += LANES) weigh(from + x, to + x, width, taps, weight, 1);
    }
}

#if defined(__clang__)
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(a, b, ...) __builtin_shuffle(a, b, (i8){__VA_ARGS__})
#endif

static void transpose(const float *from, float *to, Py_ssize_t rows, Py_ssize_t columns) {
    for (Py_ssize_t y = 0; y < rows; y += LANES)
        for (Py_ssize_t x = 0; x < columns; x += LANES) {
            f8 row[LANES], pair[LANES], four[LANES];
            for (int i = 0; i < LANES; i++) row[i] = load(from + (y + i) * columns + x);
            for (int i = 0; i < LANES; i += 2) {
                pair[i] = MIX(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
                pair[i + 1] = MIX(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
            }
            for (int i = 0; i < LANES; i += 4)
                for (int j = 0; j < 2; j++) {
                    four[i + 2 * j] = MIX(pair[i + j], pair[i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
                    four[i + 2 * j + 1] = MIX(pair[i + j], pair[i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
                }
            for (int i = 0; i < 4; i++) {
                store(to + (x + i) * rows + y, MIX(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
                store(to + (x + 4 + i) * rows + y, MIX(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
            }
        }
}

typedef struct {
    Py_ssize_t size, taps;
    const int32_t *start;
    const float *weights;
} Axis;

/* Both axes; `work` holds 2 * size * width + size * size floats. */
static void resample_image(const float *image, float *out, float *work, Py_ssize_t width, Axis down, Axis across) {
    float *rows = work, *columns = rows + down.size * width, *turned = columns + down.size * width;
    along_rows(image, rows, width, down.size, down.taps, down.start, down.weights);
    transpose(rows, columns, down.size, width);
    along_rows(columns, turned, down.size, across.size, across.taps, across.start, across.weights);
    transpose(turned, out, across.size, down.size);
}

/* The weight of all pixels below a new one: 1 but for its last bits, which come out as those of the sum over an image. */
static float whole_weight(const float *down, Py_ssize_t taps_down, const float *across, Py_ssize_t taps_across) {
    float column = down[0], sum;
    for (Py_ssize_t tap = 1; tap < taps_down; tap++) column += down[tap];
    sum = column * across[0];
    for (Py_ssize_t tap = 1; tap < taps_across; tap++) sum = __builtin_fmaf(column, across[tap], sum);
    return sum;
}

/* Where an image has NaN, the weighted mean of what is finite; NaN where that holds less than half of the weight. Where
 * nothing is missing, the sum stays as it is: a hole does not change the last bits of what it does not touch. */
static void resample_some(const float *image, float *out, float *work, Py_ssize_t height, Py_ssize_t width, Axis down,
                          Axis across) {
    float *values = work, *known = values + height * width, *weight = known + height * width;
    float *rest = weight + down.size * across.size;
    for (Py_ssize_t i = 0; i < height * width; i++) {
        int finite = fabsf(image[i]) < INFINITY;
        values[i] = finite ? image[i] : 0.0f;
        known[i] = finite ? 1.0f : 0.0f;
    }
    resample_image(values, out, rest, width, down, across);
    resample_image(known, weight, rest, width, down, across);
    for (Py_ssize_t y = 0, i = 0; y < down.size; y++)
        for (Py_ssize_t x = 0; x < across.size; x++, i++) {
            float whole = whole_weight(down.weights + y * down.taps, down.taps, across.weights + x * across.taps, across.taps);
            out[i] = weight[i] >= 0.5f ? out[i] / (weight[i] / whole) : NAN;
        }
}

static int all_finite(const float *image, Py_ssize_t n) {
    int32_t bad = 0;
    for (Py_ssize_t i = 0; i < n; i++) bad |= !(fabsf(image[i]) < INFINITY);
    return !bad;
}

/* Over the valid dates of each pixel: mean, population standard deviation, last - first; see temporal.py. */
static void statistics_over_dates(const float *frames, float *mean, float *std, float *diff, Py_ssize_t dates,
                                  Py_ssize_t n) {
    const f8 nan = all(NAN), none = all(0.0f), one = all(1.0f), infinity = all(INFINITY);
    for (Py_ssize_t i = 0; i < n; i += LANES) {
        f8 count = none, total = none, first = nan, last = nan, square = none;
        for (Py_ssize_t t = 0; t < dates; t++) {
            f8 value = load(frames + t * n + i);
            i8 known = (value < infinity) & (value > -infinity);
            first = choose(known & (count == none), value, first);
            last = choose(known, value, last);
            count += choose(known, one, none);
            total += choose(known, value, none);
        }
        f8 known_dates = larger(count, one), average = total / known_dates;
        for (Py_ssize_t t = 0; t < dates; t++) {
            f8 value = load(frames + t * n + i);
            i8 known = (value < infinity) & (value > -infinity);
            f8 deviation = choose(known, value - average, none);
            square += deviation * deviation;
        }
        i8 two = count > one;
        store(mean + i, choose(count > none, average, nan));
        store(std + i, choose(two, root8(square / known_dates), nan));
        store(diff + i, choose(two, last - first, nan));
    }
}

/* The population standard deviation where every date is valid. */
static void deviation_over_dates(const float *frames, float *out, Py_ssize_t dates, Py_ssize_t n) {
    const f8 count = all((float)dates);
    for (Py_ssize_t i = 0; i < n; i += LANES) {
        f8 total = load(frames + i), square = all(0.0f);
        for (Py_ssize_t t = 1; t < dates; t++) total += load(frames + t * n + i);
        f8 average = total / count;
        for (Py_ssize_t t = 0; t < dates; t++) {
            f8 deviation = load(frames + t * n + i) - average;
            square += deviation * deviation;
        }
        store(out + i, root8(square / count));
    }
}

#if defined(__x86_64__)
#pragma GCC pop_options
#endif

/* ---- the module ---- */

static int sized(const Py_buffer *buffer, Py_ssize_t items, Py_ssize_t item_bytes, const char *name) {
    if (items >= 0 && buffer->len == items * item_bytes) return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, needs %zd", name, buffer->len, items * item_bytes);
    return 0;
}

static int shaped(Py_ssize_t height, Py_ssize_t width) {
    if (height >= 16 && width >= 16 && height % 8 == 0 && width % 8 == 0 && height <= 65536 && width <= 65536) return 1;
    PyErr_Format(PyExc_ValueError, "height %zd and width %zd must be multiples of 8, from 16 to 65536", height, width);
    return 0;
}

/* A mask may be left out (None): all pixels are valid. */
static int optional_mask(PyObject *object, Py_buffer *buffer, Py_ssize_t items, const uint8_t **mask) {
    *mask = NULL;
    buffer->obj = NULL;
    if (object == Py_None) return 1;
    if (PyObject_GetBuffer(object, buffer, PyBUF_SIMPLE) < 0) return 0;
    *mask = buffer->buf;
    return sized(buffer, items, 1, "mask");
}

/* Numbers of one width to as many of the other; `widen` tells which. True: all that were widened are finite. */
static PyObject *converted(PyObject *args, int widen) {
    Py_buffer from, to;
    int finite = 1;
    if (!PyArg_ParseTuple(args, "y*w*", &from, &to)) return NULL;
    Py_ssize_t n = from.len / (widen ? 2 : 4);
    int ok = sized(&to, n, widen ? 4 : 2, "out");
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        if (widen)
            finite = widen_row(from.buf, to.buf, n);
        else
            narrow_row(from.buf, to.buf, n);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&from);
    PyBuffer_Release(&to);
    if (!ok) return NULL;
    if (widen) return PyBool_FromLong(finite);
    Py_RETURN_NONE;
}

static PyObject *py_widen(PyObject *self, PyObject *args) { return converted(args, 1); }

static PyObject *py_narrow(PyObject *self, PyObject *args) { return converted(args, 0); }

static PyObject *py_mask(PyObject *self, PyObject *args) {
    Py_buffer db, valid;
    float floor_db;
    Py_ssize_t n, count = 0;
    if (!PyArg_ParseTuple(args, "y*w*fn:mask", &db, &valid, &floor_db, &n)) return NULL;
    int ok = sized(&db, 2 * n, 4, "db") && sized(&valid, 2 * n, 1, "valid");
    if (ok) {
        const float *vv = db.buf;
        uint8_t *vv_valid = valid.buf;
        Py_BEGIN_ALLOW_THREADS
        count = mask_date(vv, vv + n, floor_db, vv_valid, vv_valid + n, n);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&db);
    PyBuffer_Release(&valid);
    return ok ? PyLong_FromSsize_t(count) : NULL;
}

static PyObject *py_quantise(PyObject *self, PyObject *args) {
    Py_buffer db, out;
    double low, high; /* as numpy has them: the quotient is rounded once, to a float */
    if (!PyArg_ParseTuple(args, "y*ddw*:quantise", &db, &low, &high, &out)) return NULL;
    int ok = sized(&out, db.len / 4, 1, "out");
    if (ok && db.len % (4 * LANES)) {
        PyErr_SetString(PyExc_ValueError, "needs a multiple of 8 pixels");
        ok = 0;
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        quantise_image(db.buf, (float)low, (float)(255.0 / (high - low)), out.buf, db.len / 4);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&db);
    PyBuffer_Release(&out);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_bilateral(PyObject *self, PyObject *args) {
    Py_buffer image, mask, out;
    PyObject *valid;
    Py_ssize_t height, width, radius;
    float sigma_range, sigma_space;
    if (!PyArg_ParseTuple(args, "y*Ow*nnnff:bilateral", &image, &valid, &out, &height, &width, &radius, &sigma_range,
                          &sigma_space))
        return NULL;
    const uint8_t *present = NULL;
    float *padded = NULL;
    Py_ssize_t pitch = width + 2 * MARGIN;
    mask.obj = NULL;
    int ok = shaped(height, width) && sized(&image, height * width, 4, "image") &&
             sized(&out, height * width, 4, "out") && optional_mask(valid, &mask, height * width, &present);
    if (ok && !(radius >= 1 && radius <= MAX_RADIUS && sigma_range > 0 && sigma_space > 0)) {
        PyErr_Format(PyExc_ValueError, "radius %zd must be 1 to %d, and both sigmas above 0", radius, MAX_RADIUS);
        ok = 0;
    }
    if (ok) {
        /* The image with its margins, and below it the ring of sums. */
        padded = malloc((size_t)((height + 4 * radius + 2) * pitch) * sizeof(float));
        ok = padded != NULL;
        if (!ok) PyErr_NoMemory();
    }
    if (ok) {
        /* The exponent of the range weight is then a plain square: -(p - q)^2 / (2 sigma^2) / ln 2. */
        float scale = (float)sqrt(M_LOG2E / (2.0 * (double)sigma_range * sigma_range));
        Py_BEGIN_ALLOW_THREADS
        pad_scaled(image.buf, present, padded, height, width, radius, pitch, 0.0f, scale);
        bilateral_direct(image.buf, padded, present, out.buf, padded + (height + 2 * radius) * pitch, height, width,
                         radius, pitch, scale, sigma_space);
        Py_END_ALLOW_THREADS
    }
    free(padded);
    PyBuffer_Release(&image);
    PyBuffer_Release(&out);
    PyBuffer_Release(&mask);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

/* The number of terms that keeps the error of the series below `tolerance` (in units of sigma); 0: more than there are.
 */
static int terms_needed(double largest, double tolerance) {
    double term = largest; /* of the result, per unit of weight */
    for (int terms = 1; terms < MAX_TERMS; terms++) {
        term *= largest * largest / terms;
        if (term <= tolerance) return terms < 2 ? 2 : terms;
    }
    return 0;
}

static PyObject *py_bilateral_wide(PyObject *self, PyObject *args) {
    Py_buffer image, out;
    Py_ssize_t height, width;
    float sigma_range, sigma_space;
    double tolerance;
    if (!PyArg_ParseTuple(args, "y*w*nnffd:bilateral_wide", &image, &out, &height, &width, &sigma_range, &sigma_space,
                          &tolerance))
        return NULL;
    int terms = 0;
    float *work = NULL;
    int ok = shaped(height, width) && sized(&image, height * width, 4, "image") &&
             sized(&out, height * width, 4, "out");
    if (ok) {
        const float *values = image.buf;
        float low, high;
        spread(values, height * width, &low, &high);
        float centre = low + (high - low) / 2;
        terms = terms_needed((double)(high - low) / 2 / sigma_range, tolerance / sigma_range);
        Py_ssize_t pitch = width + 2 * WIDE_RADIUS, padded = (height + 2 * WIDE_RADIUS) * pitch;
        if (terms) {
            work = malloc((size_t)(padded + ((MAX_TERMS + 1) * (2 * WIDE_RADIUS + 1) + 3) * pitch + 2 * width) * sizeof(float));
            ok = work != NULL;
            if (!ok) PyErr_NoMemory();
        }
        if (work) {
            float space[WIDE_RADIUS + 1];
            for (int i = 0; i <= WIDE_RADIUS; i++)
                space[i] = (float)exp(-(double)(i * i) / (2 * (double)sigma_space * sigma_space));
            Py_BEGIN_ALLOW_THREADS
            pad_scaled(values, NULL, work, height, width, WIDE_RADIUS, pitch, centre, 1.0f / sigma_range);
            bilateral_wide(work, out.buf, work + padded, height, width, terms, centre, sigma_range, space);
            Py_END_ALLOW_THREADS
        }
    }
    free(work);
    PyBuffer_Release(&image);
    PyBuffer_Release(&out);
    return ok ? PyBool_FromLong(terms) : NULL;
}

static PyObject *py_clahe(PyObject *self, PyObject *args) {
    Py_buffer image, mask, out;
    PyObject *valid;
    Py_ssize_t height, width;
    float clip_limit;
    if (!PyArg_ParseTuple(args, "y*Ow*nnf:clahe", &image, &valid, &out, &height, &width, &clip_limit)) return NULL;
    const uint8_t *present = NULL;
    float *far = NULL;
    mask.obj = NULL;
    int ok = shaped(height, width) && sized(&image, height * width, 1, "image") &&
             sized(&out, height * width, 1, "out") && optional_mask(valid, &mask, height * width, &present);
    if (ok) {
        far = malloc((size_t)width * sizeof(float));
        ok = far != NULL;
        if (!ok) PyErr_NoMemory();
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        clahe_image(image.buf, present, out.buf, far, height, width, clip_limit);
        Py_END_ALLOW_THREADS
    }
    free(far);
    PyBuffer_Release(&image);
    PyBuffer_Release(&out);
    PyBuffer_Release(&mask);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_sobel(PyObject *self, PyObject *args) {
    Py_buffer image, mask, out;
    PyObject *valid;
    Py_ssize_t height, width;
    if (!PyArg_ParseTuple(args, "y*Ow*nn:sobel", &image, &valid, &out, &height, &width)) return NULL;
    const uint8_t *present = NULL;
    int16_t *padded = NULL;
    mask.obj = NULL;
    int ok = shaped(height, width) && sized(&image, height * width, 1, "image") &&
             sized(&out, height * width, 4, "out") && optional_mask(valid, &mask, height * width, &present);
    if (ok) {
        padded = malloc((size_t)((height + 2) * (width + 2)) * sizeof(int16_t));
        ok = padded != NULL;
        if (!ok) PyErr_NoMemory();
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        sobel_image(image.buf, present, out.buf, padded, height, width);
        Py_END_ALLOW_THREADS
    }
    free(padded);
    PyBuffer_Release(&image);
    PyBuffer_Release(&out);
    PyBuffer_Release(&mask);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static int axis_of(const Py_buffer *start, const Py_buffer *weights, Py_ssize_t size_in, Axis *axis) {
    axis->size = start->len / 4;
    if (axis->size < 8 || axis->size % 8 || start->len % 4 || weights->len % (axis->size * 4)) {
        PyErr_SetString(PyExc_ValueError, "an axis needs a start and equally many weights for each of 8, 16, ... rows");
        return 0;
    }
    axis->taps = weights->len / 4 / axis->size;
    axis->start = start->buf;
    axis->weights = weights->buf;
    for (Py_ssize_t i = 0; i < axis->size; i++)
        if (axis->start[i] < 0 || axis->taps < 1 || axis->start[i] + axis->taps > size_in) {
            PyErr_SetString(PyExc_ValueError, "the weights of an axis reach beyond the image");
            return 0;
        }
    return 1;
}

static PyObject *py_resample(PyObject *self, PyObject *args) {
    Py_buffer images, out, down_start, down_weights, across_start, across_weights;
    Py_ssize_t n, height, width;
    if (!PyArg_ParseTuple(args, "y*w*nnny*y*y*y*:resample", &images, &out, &n, &height, &width, &down_start, &down_weights,
                          &across_start, &across_weights))
        return NULL;
    Axis down, across;
    float *work = NULL;
    int ok = shaped(height, width) && sized(&images, n * height * width, 4, "images") &&
             axis_of(&down_start, &down_weights, height, &down) &&
             axis_of(&across_start, &across_weights, width, &across) && sized(&out, n * down.size * across.size, 4, "out");
    if (ok) {
        Py_ssize_t floats = 2 * height * width + 2 * down.size * width + 2 * down.size * across.size;
        work = malloc((size_t)floats * sizeof(float));
        ok = work != NULL;
        if (!ok) PyErr_NoMemory();
    }
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < n; i++) {
            const float *from = (const float *)images.buf + i * height * width;
            float *to = (float *)out.buf + i * down.size * across.size;
            if (all_finite(from, height * width))
                resample_image(from, to, work, width, down, across);
            else
                resample_some(from, to, work, height, width, down, across);
        }
        Py_END_ALLOW_THREADS
    }
    free(work);
    PyBuffer_Release(&images);
    PyBuffer_Release(&out);
    PyBuffer_Release(&down_start);
    PyBuffer_Release(&down_weights);
    PyBuffer_Release(&across_start);
    PyBuffer_Release(&across_weights);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyObject *over_dates(PyObject *args, int statistics) {
    Py_buffer frames, out;
    Py_ssize_t dates, n;
    if (!PyArg_ParseTuple(args, "y*w*nn", &frames, &out, &dates, &n)) return NULL;
    int ok = dates >= 1 && n >= 0 && n % 8 == 0;
    if (!ok) PyErr_SetString(PyExc_ValueError, "needs a date, and a multiple of 8 pixels");
    ok = ok && sized(&frames, dates * n, 4, "frames") && sized(&out, (statistics ? 3 : 1) * n, 4, "out");
    if (ok) {
        float *to = out.buf;
        Py_BEGIN_ALLOW_THREADS
        if (statistics)
            statistics_over_dates(frames.buf, to, to + n, to + 2 * n, dates, n);
        else
            deviation_over_dates(frames.buf, to, dates, n);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&frames);
    PyBuffer_Release(&out);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_statistics(PyObject *self, PyObject *args) { return over_dates(args, 1); }

static PyObject *py_deviation(PyObject *self, PyObject *args) { return over_dates(args, 0); }

static PyMethodDef functions[] = {
    {"widen", py_widen, METH_VARARGS, "widen(float16, out float32): all are finite"},
    {"narrow", py_narrow, METH_VARARGS, "narrow(float32, out float16)"},
    {"mask", py_mask, METH_VARARGS, "mask(float32 [2, n], out uint8 [2, n], floor_db, n) -> valid values"},
    {"quantise", py_quantise, METH_VARARGS, "quantise(float32, low, high, out uint8)"},
    {"bilateral", py_bilateral, METH_VARARGS,
     "bilateral(float32 [h, w], mask or None, out, h, w, radius, sigma_range, sigma_space)"},
    {"bilateral_wide", py_bilateral_wide, METH_VARARGS,
     "bilateral_wide(float32 [h, w], out, h, w, sigma_range, sigma_space, tolerance) -> whether it could"},
    {"clahe", py_clahe, METH_VARARGS, "clahe(uint8 [h, w], mask or None, out uint8, h, w, clip_limit)"},
    {"sobel", py_sobel, METH_VARARGS, "sobel(uint8 [h, w], mask or None, out float32, h, w)"},
    {"resample", py_resample, METH_VARARGS,
     "resample(float32 [n, h, w], out, n, h, w, starts, weights, starts, weights): down, then across"},
    {"statistics", py_statistics, METH_VARARGS, "statistics(float32 [dates, n], out float32 [3, n], dates, n)"},
    {"deviation", py_deviation, METH_VARARGS, "deviation(float32 [dates, n], out float32 [n], dates, n)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "See kernel.c.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
        PyErr_SetString(PyExc_ImportError, "this processor has no AVX2, FMA or F16C");
        return NULL;
    }
#endif
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddStringConstant(made, "SOURCE_SHA256", SOURCE_SHA256) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
