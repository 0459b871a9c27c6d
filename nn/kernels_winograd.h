/* Winograd's transforms, F(4x4, 3x3), of a level: textually included.
 *
 * A level has defined what its vectors are: NN_VECTOR (a type with operators),
 * NN_VECTOR_LANES, NN_LOAD, NN_STORE, NN_SET, NN_FMA (a * b + c) and
 * clamp_vector. The matrices are those of Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks", section 4.3, for the points 0, 1, -1, 2, -2
 * and infinity; what belongs to p and -p is the sum and the difference of an
 * even and an odd part. */

/* B^T x: six inputs to six points. */
NN_INLINE void winograd_to_points(const NN_VECTOR x[6], NN_VECTOR y[6])
{
    const NN_VECTOR two = NN_SET(2.0f), four = NN_SET(4.0f);
    const NN_VECTOR minus_four = NN_SET(-4.0f), minus_five = NN_SET(-5.0f);
    const NN_VECTOR even1 = NN_FMA(minus_four, x[2], x[4]);
    const NN_VECTOR odd1 = NN_FMA(minus_four, x[1], x[3]);
    const NN_VECTOR even2 = x[4] - x[2];
    const NN_VECTOR odd2 = x[3] - x[1];

    y[0] = NN_FMA(four, x[0], NN_FMA(minus_five, x[2], x[4]));
    y[1] = even1 + odd1;
    y[2] = even1 - odd1;
    y[3] = NN_FMA(two, odd2, even2);
    y[4] = even2 - (odd2 + odd2);
    y[5] = NN_FMA(four, x[1], NN_FMA(minus_five, x[3], x[5]));
}

/* A^T y: six points to four outputs. */
NN_INLINE void winograd_from_points(const NN_VECTOR y[6], NN_VECTOR z[4])
{
    const NN_VECTOR two = NN_SET(2.0f), four = NN_SET(4.0f);
    const NN_VECTOR eight = NN_SET(8.0f);
    const NN_VECTOR even1 = y[1] + y[2];
    const NN_VECTOR odd1 = y[1] - y[2];
    const NN_VECTOR even2 = y[3] + y[4];
    const NN_VECTOR odd2 = y[3] - y[4];

    z[0] = y[0] + (even1 + even2);
    z[1] = NN_FMA(two, odd2, odd1);
    z[2] = NN_FMA(four, even2, even1);
    z[3] = y[5] + NN_FMA(eight, odd2, odd1);
}

static void winograd_in(const float *in, size_t row_stride, uint32_t channels,
                        float *out, size_t out_stride)
{
    for (uint32_t c = 0; c < channels; c += NN_VECTOR_LANES) {
        NN_VECTOR rows[6][6], x[6], y[6];

        NN_UNROLL
        for (uint32_t row = 0; row < 6; row++) {
            NN_UNROLL
            for (uint32_t i = 0; i < 6; i++)
                x[i] =
                    NN_LOAD(in + row * row_stride + (size_t)i * channels + c);
            winograd_to_points(x, rows[row]);
        }
        NN_UNROLL
        for (uint32_t i = 0; i < 6; i++) {
            NN_UNROLL
            for (uint32_t row = 0; row < 6; row++)
                x[row] = rows[row][i];
            winograd_to_points(x, y);
            NN_UNROLL
            for (uint32_t row = 0; row < 6; row++)
                NN_STORE(out + (row * 6 + i) * out_stride + c, y[row]);
        }
    }
}

static void winograd_out(const struct nn_winograd_out *job)
{
    const NN_VECTOR lo = NN_SET(job->lo), hi = NN_SET(job->hi);

    for (uint32_t c = 0; c < job->channels; c += NN_VECTOR_LANES) {
        NN_VECTOR rows[6][4], y[6], z[4];

        NN_UNROLL
        for (uint32_t row = 0; row < 6; row++) {
            NN_UNROLL
            for (uint32_t i = 0; i < 6; i++)
                y[i] = NN_LOAD(job->in + (row * 6 + i) * job->in_stride + c);
            winograd_from_points(y, rows[row]);
        }
        NN_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            NN_UNROLL
            for (uint32_t row = 0; row < 6; row++)
                y[row] = rows[row][i];
            winograd_from_points(y, z);
            if (i >= job->width)
                continue;
            NN_UNROLL
            for (uint32_t row = 0; row < 4; row++) {
                size_t at =
                    row * job->row_stride + (size_t)i * job->channels + c;

                if (row >= job->height)
                    continue;
                if (job->residual)
                    z[row] = z[row] + NN_LOAD(job->residual + at);
                NN_STORE(job->out + at, clamp_vector(z[row], lo, hi));
            }
        }
    }
}
