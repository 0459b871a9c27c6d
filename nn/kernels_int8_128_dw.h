/* The int8 depthwise convolution on vectors of 128 bits; goes with
 * nn/kernels_int8_128.h, behind it. */

/* Up to four kernel rows of 16 channels at one x, as bytes of four vectors:
 * each int32 holds one channel's taps. Rows below the kernel meet weights of
 * zero, so any will do for them. */
NN_INLINE void interleave(const uint8_t *const *rows, uint32_t count, size_t at,
                          uint32_t channels, int8x16_t taps[4])
{
    uint8x16_t row[4];
    uint16x8_t low[2], high[2];

    NN_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        const uint8_t *from = rows[i < count ? i : 0] + at;
        uint8_t some[DW_LANES] = {0};

        if (channels < DW_LANES) {
            memcpy(some, from, channels);
            from = some;
        }
        row[i] = vreinterpretq_u8_s8(flip(vld1q_u8(from)));
    }
    low[0] = vreinterpretq_u16_u8(vzip1q_u8(row[0], row[1]));
    low[1] = vreinterpretq_u16_u8(vzip1q_u8(row[2], row[3]));
    high[0] = vreinterpretq_u16_u8(vzip2q_u8(row[0], row[1]));
    high[1] = vreinterpretq_u16_u8(vzip2q_u8(row[2], row[3]));
    taps[0] = vreinterpretq_s8_u16(vzip1q_u16(low[0], low[1]));
    taps[1] = vreinterpretq_s8_u16(vzip2q_u16(low[0], low[1]));
    taps[2] = vreinterpretq_s8_u16(vzip1q_u16(high[0], high[1]));
    taps[3] = vreinterpretq_s8_u16(vzip2q_u16(high[0], high[1]));
}

/* Stores a pixel's sums as floats; the vectors are in the order of channels. */
static void store_pixel(const struct nn_int8_dwconv *job,
                        const struct nn_int8_block *block,
                        const int32x4_t sum[4], size_t at, uint32_t channels)
{
    float some[DW_LANES];

    for (uint32_t v = 0; v < 4; v++)
        vst1q_f32(some + v * LANES_128,
                  scaled(sum[v], block->constants + 64 + v * 16,
                         block->constants + 128 + v * 16, job->lo, job->hi));
    memcpy(job->floats + at, some, channels * sizeof *some);
}

/* Stores them as bytes. */
NN_INLINE void finish_pixel(const struct nn_int8_dwconv *job,
                            const struct nn_int8_block *block,
                            const int32x4_t sum[4], size_t at,
                            uint32_t channels)
{
    float32x4_t x[4];
    uint8x8_t low, high;

    NN_UNROLL
    for (uint32_t v = 0; v < 4; v++)
        x[v] = scaled(sum[v], block->constants + 64 + v * 16,
                      block->constants + 128 + v * 16, job->lo, job->hi);
    low = rounded(x[0], x[1]);
    high = rounded(x[2], x[3]);
    store_bytes(job->bytes + at, low, channels);
    if (channels > 8)
        store_bytes(job->bytes + at + 8, high, channels - 8);
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
    const int32_t *start = (const int32_t *)(const void *)block->constants;
    const uint32_t heights = (height + 3) / 4;
    const uint8_t *rows[8];
    int32x4_t sum[DW_PIXELS][4];
    int8x16_t taps[4];

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
                const int8_t *weights = (const int8_t *)block->weights;

                if (x < p * stride || kx >= width)
                    continue;
                weights += (kx * heights + fours) * 64;
                NN_UNROLL
                for (uint32_t v = 0; v < 4; v++)
                    sum[p][v] =
                        dot(kx + fours ? sum[p][v]
                                       : vld1q_s32(start + v * LANES_128),
                            taps[v], vld1q_s8(weights + v * 16));
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
    const int32_t *start = (const int32_t *)(const void *)block->constants;
    const int8_t *weights = (const int8_t *)block->weights;
    int32x4_t sum[4];
    int8x16_t taps[4];

    NN_UNROLL
    for (uint32_t v = 0; v < 4; v++)
        sum[v] = vld1q_s32(start + v * LANES_128);
    NN_UNROLL
    for (uint32_t kx = 0; kx < kernel; kx++) {
        const size_t at = nn_int8_tap(&job, stride, pixel, kx) + block->channel;

        NN_UNROLL
        for (uint32_t ky = 0; ky < kernel; ky += 4) {
            interleave(job.rows + ky, kernel - ky, at, DW_LANES, taps);
            NN_UNROLL
            for (uint32_t v = 0; v < 4; v++)
                sum[v] = dot(sum[v], taps[v], vld1q_s8(weights + v * 16));
            weights += 64;
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
    const int32_t *start = (const int32_t *)(const void *)block->constants;
    const uint32_t height = job->kernel_height,
                   rest = job->channels - block->channel;
    const uint32_t channels = rest < DW_LANES ? rest : DW_LANES;
    const size_t pixel_at = (size_t)pixel * job->channels + block->channel;
    const int8_t *weights = (const int8_t *)block->weights;
    int32x4_t sum[4];
    int8x16_t taps[4];

    for (uint32_t v = 0; v < 4; v++)
        sum[v] = vld1q_s32(start + v * LANES_128);
    for (uint32_t x = 0; x < job->kernel_width; x++) {
        size_t at = nn_int8_tap(job, job->stride_x, pixel, x) + block->channel;

        for (uint32_t ky = 0; ky < height; ky += 4) {
            interleave(job->rows + ky, height - ky, at, channels, taps);
            for (uint32_t v = 0; v < 4; v++)
                sum[v] = dot(sum[v], taps[v], vld1q_s8(weights + v * 16));
            weights += 64;
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

static void dwconv_128(const struct nn_int8_dwconv *job)
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
