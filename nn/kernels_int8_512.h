/* The int8 tile on vectors of 512 bits, for files that define dot_512(). */
#include <string.h>

/* The file defines, before it includes this:
 *
 * static inline __m512i dot_512(__m512i sum, __m512i x, __m512i weights);
 *     adds to each int32 the products of four bytes: x unsigned, weights not
 * TILE_512_MR: rows of a tile whose sums fit the registers
 *
 * Everything but the tile is as good on 256 bits, where fewer channels are
 * padding: the file includes nn/kernels_int8_256.h for it. */

enum { LANES_512 = 16, NR_512 = 2 * LANES_512 };

static inline __mmask16 mask_of(uint32_t count)
{
    return (__mmask16)(count >= LANES_512 ? 0xffffu : (1u << count) - 1u);
}

/* NaN becomes lo. */
static inline __m512 clamp_512(__m512 x, float lo, float hi)
{
    return _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(lo)),
                         _mm512_set1_ps(hi));
}

static inline __m512i sum_512(__m512i a, __m512i b,
                              const struct nn_int8_sum *sum)
{
    __m512 x = _mm512_add_ps(
        _mm512_mul_ps(_mm512_cvtepi32_ps(a), _mm512_set1_ps(sum->first)),
        _mm512_mul_ps(_mm512_cvtepi32_ps(b), _mm512_set1_ps(sum->second)));

    x = _mm512_add_ps(x, _mm512_set1_ps(sum->offset));
    return _mm512_cvtps_epi32(clamp_512(x, sum->lo, sum->hi));
}

/* Rounded sums of a vector: they are far from 2^31 (nn/int8_pack.c). */
static inline __m512i scaled_512(__m512i sum, __m512 factor, __m512 offset)
{
    __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor);

    return _mm512_cvtps_epi32(_mm512_add_ps(x, offset));
}

/* Not under a mask, which takes AMD's cores some ten cycles. */
static inline void store_512(uint8_t *to, __m256i bytes, uint32_t count)
{
    if (count >= NR_512) {
        _mm256_storeu_si256((__m256i *)to, bytes);
        return;
    }
    store_bytes(to, _mm256_castsi256_si128(bytes), count);
    if (count > 16)
        store_bytes(to + 16, _mm256_extracti128_si256(bytes, 1), count - 16);
}

/* What the bytes of a panel's columns have in common. */
struct columns {
    __m512 factor[2], offset[2];
    __m512i lo, hi;
    uint32_t used;
};

NN_INLINE struct columns columns_of(const struct nn_int8_tile *tile,
                                    uint32_t column, const uint32_t vectors)
{
    const uint32_t rest = tile->columns - column, all = vectors * LANES_512;
    const uint8_t *factors = nn_int8_constants(tile, column) + vectors * 64;
    const uint8_t *offsets = factors + vectors * 64;
    const size_t other = vectors == 2 ? 64 : 0; /* unused, so any will do */

    return (struct columns){
        {_mm512_loadu_ps(factors), _mm512_loadu_ps(factors + other)},
        {_mm512_loadu_ps(offsets), _mm512_loadu_ps(offsets + other)},
        _mm512_set1_epi8((char)(uint8_t)tile->lo),
        _mm512_set1_epi8((char)(uint8_t)tile->hi),
        rest < all ? rest : all};
}

/* Four vectors of int32 as bytes within the limits: packing saturates, and
 * leaves the vectors' quarters side by side. */
NN_INLINE __m512i packed_512(const struct columns *columns, const __m512i q[4])
{
    const __m512i order =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(q[0], q[1]),
                                        _mm512_packs_epi32(q[2], q[3]));

    bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, columns->lo), columns->hi);
    return _mm512_permutexvar_epi32(order, bytes);
}

/* Stores the sums of row r, and of the next one if there is one, as bytes. */
NN_INLINE void finish_pair(const struct nn_int8_tile *tile,
                           const struct columns *columns, uint32_t column,
                           uint32_t r, const __m512i sums[2][2],
                           const uint32_t vectors)
{
    uint8_t *to = tile->bytes + r * tile->out_stride + column;
    __m512i q[4], bytes;

    NN_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        q[i] = scaled_512(sums[i / 2][i % 2 < vectors ? i % 2 : 0],
                          columns->factor[i % 2], columns->offset[i % 2]);
    bytes = packed_512(columns, q);
    store_512(to, _mm512_castsi512_si256(bytes), columns->used);
    if (r + 1 < tile->row_count)
        store_512(to + tile->out_stride, _mm512_extracti64x4_epi64(bytes, 1),
                  columns->used);
}

/* Stores the sums, of one vector each, of `count` rows from row r on, at most
 * four, as bytes. */
NN_INLINE void finish_four(const struct nn_int8_tile *tile,
                           const struct columns *columns, uint32_t column,
                           uint32_t r, const __m512i sums[4][2],
                           const uint32_t count)
{
    const size_t stride = tile->out_stride;
    uint8_t *to = tile->bytes + r * stride + column;
    __m512i q[4], bytes;

    NN_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        q[i] = scaled_512(sums[i < count ? i : 0][0], columns->factor[0],
                          columns->offset[0]);
    bytes = packed_512(columns, q);
    store_bytes(to, _mm512_castsi512_si128(bytes), columns->used);
    if (count > 1)
        store_bytes(to + stride, _mm512_extracti32x4_epi32(bytes, 1),
                    columns->used);
    if (count > 2)
        store_bytes(to + 2 * stride, _mm512_extracti32x4_epi32(bytes, 2),
                    columns->used);
    if (count > 3)
        store_bytes(to + 3 * stride, _mm512_extracti32x4_epi32(bytes, 3),
                    columns->used);
}

/* Sums of rows x 1 or 2 vectors that lie in memory, so that one copy of this
 * serves all shapes; whole tiles of bytes spare themselves that. */
static void finish_512(const struct nn_int8_tile *tile, uint32_t column,
                       const __m512i sums[TILE_512_MR][2], uint32_t vectors)
{
    if (tile->bytes && !tile->residual) {
        const struct columns columns = columns_of(tile, column, vectors);

        for (uint32_t r = 0; r < tile->row_count; r += 2)
            finish_pair(tile, &columns, column, r, sums + r, vectors);
        return;
    }
    for (uint32_t v = 0; v < vectors; v++) {
        const uint8_t *factors =
            nn_int8_constants(tile, column) + (vectors + v) * 64;
        const __m512 factor = _mm512_loadu_ps(factors);
        const __m512 offset = _mm512_loadu_ps(factors + vectors * 64);
        const uint32_t from = column + v * LANES_512;
        const __mmask16 mask = mask_of(tile->columns - from);

        for (uint32_t r = 0; r < tile->row_count; r++) {
            size_t at = r * tile->out_stride + from;
            __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][v]), factor);
            __m512i q;

            x = clamp_512(_mm512_add_ps(x, offset), tile->lo, tile->hi);
            if (tile->floats) {
                _mm512_mask_storeu_ps(tile->floats + at, mask, x);
                continue;
            }
            q = sum_512(_mm512_cvtps_epi32(x),
                        _mm512_cvtepu8_epi32(
                            _mm_maskz_loadu_epi8(mask, tile->residual + at)),
                        &tile->sum);
            store_bytes(tile->bytes + at, _mm512_cvtepi32_epi8(q),
                        tile->columns - from);
        }
    }
}

/* `rows`, `vectors` and `even` are constants at each call, so the sums live in
 * registers. Rows that lie evenly are addressed in threes off one pointer,
 * because fourteen pointers would not fit the integer registers. */
NN_INLINE void block_512(const struct nn_int8_tile *tile,
                         const uint8_t *weights, uint32_t column,
                         const uint32_t rows, const uint32_t vectors,
                         const int even)
{
    const uint8_t *starts = nn_int8_constants(tile, column);
    const size_t stride = tile->row_stride;
    __m512i sum[TILE_512_MR][2];
    const uint8_t *row[TILE_512_MR];

    NN_UNROLL
    for (uint32_t r = 0; r < rows; r++) {
        row[r] = tile->rows[r];
        NN_UNROLL
        for (uint32_t v = 0; v < vectors; v++)
            sum[r][v] = _mm512_loadu_si512(starts + v * 64);
    }
    for (uint32_t s = 0; s < tile->segments; s++) {
        size_t at = s * tile->segment_stride;
        const size_t end = at + (size_t)tile->groups * 4;

        for (; at < end; at += 4, weights += vectors * 64) {
            __m512i weight[2];

            NN_UNROLL
            for (uint32_t v = 0; v < vectors; v++)
                weight[v] = _mm512_loadu_si512(weights + v * 64);
            NN_UNROLL
            for (uint32_t r = 0; r < rows; r++) {
                int32_t four;
                __m512i x;

                memcpy(&four,
                       (even ? row[r - r % 3] + r % 3 * stride : row[r]) + at,
                       4);
                x = _mm512_set1_epi32(four);
                NN_UNROLL
                for (uint32_t v = 0; v < vectors; v++)
                    sum[r][v] = dot_512(sum[r][v], x, weight[v]);
            }
        }
    }
    if (rows == TILE_512_MR && tile->bytes && !tile->residual) {
        const struct columns columns = columns_of(tile, column, vectors);

        NN_UNROLL
        for (uint32_t r = 0; r < rows; r += vectors == 2 ? 2 : 4)
            if (vectors == 2)
                finish_pair(tile, &columns, column, r, sum + r, 2);
            else
                finish_four(tile, &columns, column, r, sum + r,
                            rows - r < 4 ? rows - r : 4);
    } else {
        __m512i sums[TILE_512_MR][2];

        NN_UNROLL
        for (uint32_t r = 0; r < rows + rows % 2; r++) { /* pairs of rows */
            NN_UNROLL
            for (uint32_t v = 0; v < vectors; v++)
                sums[r][v] = sum[r < rows ? r : 0][v];
        }
        finish_512(tile, column, sums, vectors);
    }
}

NN_INLINE void panels_512(const struct nn_int8_tile *tile, const uint32_t rows,
                          const int even)
{
    const size_t depth = (size_t)tile->segments * tile->groups;
    const uint8_t *weights = tile->weights;
    uint32_t column = 0;

    for (; column < tile->columns && tile->columns - column > LANES_512;
         column += NR_512) {
        block_512(tile, weights, column, rows, 2, even);
        weights += depth * 128;
    }
    if (column < tile->columns)
        block_512(tile, weights, column, rows, 1, even);
}

#define ROWS(count)                                                            \
    case count:                                                                \
        panels_512(tile, count, 0);                                            \
        break

static void tile_512(const struct nn_int8_tile *tile)
{
    switch (tile->row_count) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
        ROWS(5);
        ROWS(6);
        ROWS(7);
#if TILE_512_MR > 8
        ROWS(8);
        ROWS(9);
        ROWS(10);
        ROWS(11);
        ROWS(12);
        ROWS(13);
#endif
    default:
        if (tile->row_stride)
            panels_512(tile, TILE_512_MR, 1);
        else
            panels_512(tile, TILE_512_MR, 0);
        break;
    }
}
