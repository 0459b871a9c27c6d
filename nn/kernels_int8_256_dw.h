/* The int8 depthwise convolution on vectors of 256 bits; goes with
 * nn/kernels_int8_256.h, behind it. */

/* Up to 32 channels. */
static inline __m256i load_channels(const uint8_t *from, uint32_t channels)
{
#ifdef __AVX512BW__
    if (channels < DW_LANES)
        return _mm256_maskz_loadu_epi8((1u << channels) - 1u, from);
#else
    uint8_t some[DW_LANES] = {0};

    if (channels < DW_LANES) {
        memcpy(some, from, channels);
        from = some;
    }
#endif
    return _mm256_loadu_si256((const __m256i *)from);
}

static inline void store_channels(uint8_t *to, __m256i bytes, uint32_t channels)
{
    if (channels >= DW_LANES) {
        _mm256_storeu_si256((__m256i *)to, bytes);
        return;
    }
#ifdef __AVX512BW__
    _mm256_mask_storeu_epi8(to, (1u << channels) - 1u, bytes);
#else
    {
        uint8_t some[DW_LANES];

        _mm256_storeu_si256((__m256i *)some, bytes);
        memcpy(to, some, channels);
    }
#endif
}

/* Up to four kernel rows of 32 channels at one x, as bytes of four vectors:
 * each int32 holds one channel's taps. Rows below the kernel meet weights of
 * zero, so any will do for them. */
NN_INLINE void interleave(const uint8_t *const *rows, uint32_t count, size_t at,
                          uint32_t channels, __m256i taps[4])
{
    __m256i row[4], low[2], high[2];

    NN_UNROLL
    for (uint32_t i = 0; i < 4; i++)
        row[i] = load_channels(rows[i < count ? i : 0] + at, channels);
    low[0] = _mm256_unpacklo_epi8(row[0], row[1]);
    low[1] = _mm256_unpacklo_epi8(row[2], row[3]);
    high[0] = _mm256_unpackhi_epi8(row[0], row[1]);
    high[1] = _mm256_unpackhi_epi8(row[2], row[3]);
    taps[0] = _mm256_unpacklo_epi16(low[0], low[1]);
    taps[1] = _mm256_unpackhi_epi16(low[0], low[1]);
    taps[2] = _mm256_unpacklo_epi16(high[0], high[1]);
    taps[3] = _mm256_unpackhi_epi16(high[0], high[1]);
}

/* Stores a pixel's sums as floats. */
static void store_pixel(const struct nn_int8_dwconv *job,
                        const struct nn_int8_block *block, const __m256i sum[4],
                        size_t at, uint32_t channels)
{
    const __m256 lo = _mm256_set1_ps(job->lo), hi = _mm256_set1_ps(job->hi);
    float values[DW_LANES];

    for (uint32_t v = 0; v < 4; v++) {
        __m256 factor =
            _mm256_castsi256_ps(load_256(block->constants + 128 + v * 32));
        __m256 offset =
            _mm256_castsi256_ps(load_256(block->constants + 256 + v * 32));
        __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[v]), factor);

        x = clamp_256(_mm256_add_ps(x, offset), lo, hi);
        _mm256_storeu_ps(values + v * LANES_32, x);
    }
    for (uint32_t c = 0; c < channels; c++)
        job->floats[at + c] = values[nn_int8_lane(DW_LANES, c)];
}

/* Stores a pixel's sums, as bytes in order because packing takes back what
 * interleaving did. */
NN_INLINE void finish_pixel(const struct nn_int8_dwconv *job,
                            const struct nn_int8_block *block,
                            const __m256i sum[4], size_t at, uint32_t channels)
{
    __m256i q[4], bytes;

    NN_UNROLL
    for (uint32_t v = 0; v < 4; v++)
        q[v] = scaled(sum[v], load_256(block->constants + 128 + v * 32),
                      load_256(block->constants + 256 + v * 32));
    bytes = _mm256_packus_epi16(_mm256_packs_epi32(q[0], q[1]),
                                _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_max_epu8(bytes, _mm256_set1_epi8((char)(uint8_t)job->lo));
    bytes = _mm256_min_epu8(bytes, _mm256_set1_epi8((char)(uint8_t)job->hi));
    store_channels(job->bytes + at, bytes, channels);
}

/* `pixels` neighbours of one block of channels, from number `pixel` on. All
 * that is a constant here is unrolled: each column is interleaved once for all
 * windows that share it, and only as many sums are alive as windows overlap.
 * The job is a copy, which no store through its pointers can change. */
NN_INLINE void dwconv_pixels(const struct nn_int8_dwconv job,
                             const struct nn_int8_block *block, uint32_t pixel,
                             const uint32_t pixels, const uint32_t height,
                             const uint32_t width, const uint32_t stride)
{
    const uint32_t heights = (height + 3) / 4;
    const uint8_t *rows[8];
    __m256i sum[DW_PIXELS][4];
    __m256i taps[4];

    NN_UNROLL
    for (uint32_t ky = 0; ky < height; ky++)
        rows[ky] = job.rows[ky] + (size_t)pixel * stride * job.channels +
                   block->channel;
    NN_UNROLL
    for (uint32_t x = 0; x < (pixels - 1) * stride + width; x++) {
        NN_UNROLL
        for (uint32_t fours = 0; fours < heights; fours++) {
            interleave(rows + 4 * fours, height - 4 * fours, x * job.channels,
                       DW_LANES, taps);
            NN_UNROLL
            for (uint32_t p = 0; p < pixels; p++) {
                const uint32_t kx = x - p * stride;
                const uint8_t *weights = block->weights;

                if (x < p * stride || kx >= width)
                    continue;
                weights += (kx * heights + fours) * 128;
                NN_UNROLL
                for (uint32_t v = 0; v < 4; v++)
                    sum[p][v] =
                        dot(kx + fours ? sum[p][v]
                                       : load_256(block->constants + v * 32),
                            taps[v], load_256(weights + v * 32));
            }
        }
        NN_UNROLL
        for (uint32_t p = 0; p < pixels; p++)
            if (x == p * stride + width - 1)
                finish_pixel(&job, block, sum[p],
                             (size_t)(pixel + p) * job.channels +
                                 block->channel,
                             DW_LANES);
    }
}

/* One block of repeated channels, from `pixel` on. */
NN_INLINE void dwconv_values(const struct nn_int8_dwconv job,
                             const struct nn_int8_block *block, uint32_t pixel,
                             const uint32_t kernel, const uint32_t stride)
{
    const uint8_t *weights = block->weights;
    __m256i sum[4];
    __m256i taps[4];

    NN_UNROLL
    for (uint32_t v = 0; v < 4; v++)
        sum[v] = load_256(block->constants + v * 32);
    NN_UNROLL
    for (uint32_t kx = 0; kx < kernel; kx++) {
        const size_t at = nn_int8_tap(&job, stride, pixel, kx) + block->channel;

        NN_UNROLL
        for (uint32_t ky = 0; ky < kernel; ky += 4) {
            interleave(job.rows + ky, kernel - ky, at, DW_LANES, taps);
            NN_UNROLL
            for (uint32_t v = 0; v < 4; v++)
                sum[v] = dot(sum[v], taps[v], load_256(weights + v * 32));
            weights += 128;
        }
    }
    finish_pixel(&job, block, sum,
                 (size_t)pixel * job.channels + block->channel, DW_LANES);
}

/* All pixels of channels that do not fill a block, as bytes, by as many pixels
 * as are repeated; there are so many, and the last ones may be done twice. */
NN_INLINE void dwconv_repeated(const struct nn_int8_dwconv *job,
                               const uint32_t kernel, const uint32_t stride)
{
    const uint32_t repeats = nn_int8_repeats(DW_LANES, job->channels);

    for (uint32_t c = 0; c < repeats * job->channels; c += DW_LANES) {
        const struct nn_int8_block block = nn_int8_block_at(job, DW_LANES, c);

        for (uint32_t pixel = 0; pixel < job->pixels; pixel += repeats) {
            const uint32_t rest = job->pixels - pixel;

            dwconv_values(*job, &block,
                          rest < repeats ? job->pixels - repeats : pixel,
                          kernel, stride);
        }
    }
}

/* One pixel of one block of any kernel. */
static void dwconv_any(const struct nn_int8_dwconv *job,
                       const struct nn_int8_block *block, uint32_t pixel)
{
    const uint32_t height = job->kernel_height,
                   rest = job->channels - block->channel;
    const uint32_t channels = rest < DW_LANES ? rest : DW_LANES;
    const size_t pixel_at = (size_t)pixel * job->channels + block->channel;
    const uint8_t *weights = block->weights;
    __m256i sum[4];
    __m256i taps[4];

    for (uint32_t v = 0; v < 4; v++)
        sum[v] = load_256(block->constants + v * 32);
    for (uint32_t x = 0; x < job->kernel_width; x++) {
        size_t at = nn_int8_tap(job, job->stride_x, pixel, x) + block->channel;

        for (uint32_t ky = 0; ky < height; ky += 4) {
            interleave(job->rows + ky, height - ky, at, channels, taps);
            for (uint32_t v = 0; v < 4; v++)
                sum[v] = dot(sum[v], taps[v], load_256(weights + v * 32));
            weights += 128;
        }
    }
    if (job->floats)
        store_pixel(job, block, sum, pixel_at, channels);
    else
        finish_pixel(job, block, sum, pixel_at, channels);
}

/* All pixels of whole blocks, as bytes. */
NN_INLINE void dwconv_all(const struct nn_int8_dwconv *job,
                          const uint32_t kernel, const uint32_t stride)
{
    for (uint32_t c = 0; c < job->channels; c += DW_LANES) {
        const struct nn_int8_block block = nn_int8_block_at(job, DW_LANES, c);
        uint32_t pixel = 0;

        for (; pixel + DW_PIXELS <= job->pixels; pixel += DW_PIXELS)
            dwconv_pixels(*job, &block, pixel, DW_PIXELS, kernel, kernel,
                          stride);
        for (; pixel < job->pixels; pixel++)
            dwconv_pixels(*job, &block, pixel, 1, kernel, kernel, stride);
    }
}

static void dwconv_256(const struct nn_int8_dwconv *job)
{
    const uint32_t kernel = job->kernel_width, stride = job->stride_x;
    const int square = job->bytes && job->kernel_height == kernel;
    const int usual = square && job->channels >= DW_LANES;
    const int repeated =
        square && job->channels < DW_LANES &&
        (stride == 1 || job->phase_bytes) &&
        job->pixels >= nn_int8_repeats(DW_LANES, job->channels);

    if (usual && kernel == 3 && stride == 1) {
        dwconv_all(job, 3, 1);
    } else if (usual && kernel == 3 && stride == 2) {
        dwconv_all(job, 3, 2);
    } else if (usual && kernel == 5 && stride == 1) {
        dwconv_all(job, 5, 1);
    } else if (usual && kernel == 5 && stride == 2) {
        dwconv_all(job, 5, 2);
    } else if (repeated && kernel == 3 && stride == 1) {
        dwconv_repeated(job, 3, 1);
    } else if (repeated && kernel == 3 && stride == 2) {
        dwconv_repeated(job, 3, 2);
    } else if (repeated && kernel == 5 && stride == 1) {
        dwconv_repeated(job, 5, 1);
    } else if (repeated && kernel == 5 && stride == 2) {
        dwconv_repeated(job, 5, 2);
    } else {
        for (uint32_t c = 0; c < job->channels; c += DW_LANES) {
            const struct nn_int8_block block =
                nn_int8_block_at(job, DW_LANES, c);

            for (uint32_t pixel = 0; pixel < job->pixels; pixel++)
                dwconv_any(job, &block, pixel);
        }
    }
}
