/* rANS with a 32-bit state renormalised by bytes, and escapes for outliers. */
#include "nn/rans.h"

#include <math.h>
#include <string.h>

#include "nn/cpu.h"
#include "nn/rans_context.h"

/* The state lives in [STATE_MIN, STATE_MIN << 8); frequencies sum to
 * 1 << FREQUENCY_BITS. */
#define STATE_MIN ((uint32_t)1 << 23)
#define FREQUENCY_BITS 16
#define FREQUENCY_MASK (((uint32_t)1 << FREQUENCY_BITS) - 1)
#define HALF ((uint32_t)1 << (FREQUENCY_BITS - 1))

/* v = u + 1 with u <= 2 * (2^20 + 2^20): its leading one is bit 22 at most. */
enum { GAMMA_BITS_MAX = 22 };

/* NN_RANS_LIMIT as a float's bits. */
enum { LIMIT_BITS = (127 + 20) << 23 };

/* For a frequency f of 1 to 65536 and s = ceil(log2(f)): x / f is
 * x * ceil(2^(31 + s) / f) >> (31 + s) for all x below 2^31, as the factor
 * times f is too large by less than f, so by at most 2^s (Granlund and
 * Montgomery, "Division by invariant integers using multiplication", 1994). */
static uint32_t shift_of(uint32_t frequency)
{
    return 31 + 31 - (uint32_t)__builtin_clz(2 * frequency - 1);
}

static uint32_t reciprocal_of(uint32_t frequency)
{
    uint64_t one = (uint64_t)1 << shift_of(frequency);
    return (uint32_t)((one + frequency - 1) / frequency);
}

static void fill_buckets(const uint32_t *cdf, uint16_t *bucket)
{
    uint32_t interval = 0;
    for (uint32_t b = 0; b < NN_BUCKETS; b++) {
        while (cdf[interval + 1] <= b * NN_BUCKET)
            interval++;
        bucket[b] = (uint16_t)interval;
    }
}

void nn_rans_prepare(struct nn_prior *prior)
{
    for (size_t t = 0; t < (size_t)prior->channels * prior->contexts; t++) {
        uint32_t from = prior->cdf_start[t], to = prior->cdf_start[t + 1];
        for (uint32_t i = from; i + 1 < to; i++)
            prior->reciprocal[i] =
                reciprocal_of(prior->cdf[i + 1] - prior->cdf[i]);
        fill_buckets(prior->cdf + from, prior->bucket + t * NN_BUCKETS);
    }
}

/* Bytes are written from the end of the buffer downwards, because the decoder
 * reads in the reverse of the order of coding. */
struct encoder {
    uint32_t state;
    uint8_t *begin, *next;
    bool full;
};

static void weigh(int32_t *sums, const int8_t *weights, size_t columns,
                  const struct nn_rans_weighed *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int8_t *row = weights + list[i].row * columns;
        for (size_t c = 0; c < columns; c++)
            sums[c] += (int16_t)(row[c] * list[i].symbol);
    }
}

nn_rans_weigh_fn *nn_rans_weigh(void)
{
#ifdef CLEAVE_X86
    const struct nn_kernels *kernels;
    if (nn_cpu_select(&kernels, NULL) == API_OK &&
        kernels != &nn_kernels_scalar) /* all others have it */
        return nn_rans_weigh_avx2;
#endif
    return weigh;
}

/* With the interval's reciprocal, by which a state divides in fewer cycles. */
static void encode(struct encoder *coder, uint32_t start, uint32_t frequency,
                   uint32_t reciprocal)
{
    uint32_t state = coder->state;
    /* At most STATE_MIN << 8 for frequency 2^16, so 32 bits hold it. */
    uint32_t ceiling = (STATE_MIN >> FREQUENCY_BITS << 8) * frequency;
    while (state >= ceiling) {
        if (coder->next == coder->begin) {
            coder->full = true;
            return;
        }
        *--coder->next = (uint8_t)state;
        state >>= 8;
    }
    uint32_t quotient =
        (uint32_t)((uint64_t)state * reciprocal >> shift_of(frequency));
    /* quotient * 2^16 + state % frequency + start */
    coder->state = state + start +
                   quotient * (((uint32_t)1 << FREQUENCY_BITS) - frequency);
}

static void encode_bit(struct encoder *coder, uint32_t bit)
{
    encode(coder, bit ? HALF : 0, HALF, reciprocal_of(HALF));
}

/* The decoder wants ones, a zero, then the low bits from the highest: so we
 * code low bits from the lowest, the zero, the ones. */
static void encode_outlier(struct encoder *coder, int32_t offset,
                           int32_t regular)
{
    uint32_t value = offset < 0 ? 2 * (uint32_t)(-offset - 1) + 1
                                : 2 * (uint32_t)(offset - regular);
    value++;
    uint32_t bits = 0;
    while (value >> bits > 1) {
        encode_bit(coder, value >> bits & 1);
        bits++;
    }
    encode_bit(coder, 0);
    while (bits-- > 0)
        encode_bit(coder, 1);
}

static int32_t quantise_one(float value, float gain)
{
    float scaled = rintf(value * gain);
    if (scaled > NN_RANS_LIMIT)
        return NN_RANS_LIMIT;
    if (scaled < -NN_RANS_LIMIT)
        return -NN_RANS_LIMIT;
    return (int32_t)scaled;
}

/* Numbers within the limit have no fraction beside this, so adding it rounds
 * them as rintf would, but without a call. */
static const float rounder = 0x1.8p23f;

static void quantise(const float *values, const float *gains, uint32_t count,
                     int32_t *quantised)
{
    uint32_t beyond = 0;
    for (uint32_t i = 0; i < count; i++) {
        float scaled = values[i] * gains[i];
        uint32_t bits;
        memcpy(&bits, &scaled, sizeof bits);
        /* Sizes of floats compare as their bits do. */
        beyond |= (bits & 0x7fffffff) > LIMIT_BITS;
        memcpy(&quantised[i], &scaled, sizeof scaled);
    }
    for (uint32_t i = 0; i < count && !beyond; i++) {
        float scaled;
        memcpy(&scaled, &quantised[i], sizeof scaled);
        quantised[i] = (int32_t)((scaled + rounder) - rounder);
    }
    for (uint32_t i = 0; i < count && beyond; i++)
        quantised[i] = quantise_one(values[i], gains[i]);
}

/* All values on their way into the stream, in order. */
struct symbols {
    int32_t *offsets; /* from the channel's symbol_min */
    uint32_t *tables;
};

size_t nn_rans_scratch_bytes(struct nn_rans_grid grid, size_t channels)
{
    return 2 * grid.height * grid.width * channels * sizeof(int32_t) +
           context_bytes(grid.width, channels);
}

/* The decoder learns contexts forwards, coding goes backwards: so all symbols
 * and their tables come first. Of a position all symbols are known here, so
 * what they weigh is added first and the tables are chosen at once. */
static void choose_tables(const struct nn_prior *prior, const float *values,
                          struct nn_rans_grid grid, struct symbols symbols,
                          void *memory)
{
    const uint32_t channels = prior->channels;
    struct context context = context_begin(prior, grid.width, memory);
    for (size_t p = 0; p < grid.height * grid.width; p++) {
        quantise(values, prior->gain, channels, symbols.offsets);
        context_enter(&context, p % grid.width);
        context_note_all(&context, symbols.offsets);
        for (uint32_t c = 0; c < channels; c++)
            symbols.offsets[c] -= prior->symbol_min[c];
        context_tables(&context, symbols.tables);
        context_leave(&context);
        values += channels;
        symbols.offsets += channels;
        symbols.tables += channels;
    }
}

/* Regular symbols of a table. */
static int32_t regular_of(const struct nn_prior *prior, uint32_t table)
{
    const uint32_t *start = prior->cdf_start + table;
    return (int32_t)(start[1] - start[0] - 2);
}

enum api_status nn_rans_encode(const struct nn_prior *prior,
                               const float *values, struct nn_rans_grid grid,
                               void *scratch, uint8_t *out, size_t capacity,
                               size_t *out_bytes)
{
    if (capacity < 4)
        return API_TOO_LARGE;
    size_t count = grid.height * grid.width * prior->channels;
    int32_t *offsets = scratch;
    const struct symbols symbols = {offsets, (uint32_t *)(offsets + count)};
    choose_tables(prior, values, grid, symbols, offsets + 2 * count);
    struct encoder coder = {STATE_MIN, out + 4, out + capacity, false};
    for (size_t i = count; i-- > 0 && !coder.full;) {
        uint32_t table = symbols.tables[i];
        const uint32_t *cdf = prior->cdf + prior->cdf_start[table];
        const uint32_t *reciprocal =
            prior->reciprocal + prior->cdf_start[table];
        int32_t regular = regular_of(prior, table);
        int32_t offset = offsets[i];
        if (offset < 0 || offset >= regular) {
            encode_outlier(&coder, offset, regular);
            offset = regular;
        }
        encode(&coder, cdf[offset], cdf[offset + 1] - cdf[offset],
               reciprocal[offset]);
    }
    if (coder.full)
        return API_TOO_LARGE;
    size_t coded = (size_t)(out + capacity - coder.next);
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(coder.state >> 8 * i);
    memmove(out + 4, coder.next, coded);
    *out_bytes = 4 + coded;
    return API_OK;
}

struct decoder {
    uint32_t state;
    const uint8_t *next, *end;
};

/* Leaves the interval start..start + frequency that holds the low bits of the
 * state, and refills it. False if the bytes ran out. */
static inline bool advance(struct decoder *coder, uint32_t start,
                           uint32_t frequency)
{
    /* frequency * 2^15 + 2^16 - 1 at most with the state below 2^31, and the
     * remainder is below the frequency: the new state is below 2^31 again. */
    uint32_t state = frequency * (coder->state >> FREQUENCY_BITS) +
                     (coder->state & FREQUENCY_MASK) - start;
    while (state < STATE_MIN) {
        if (coder->next == coder->end)
            return false;
        state = state << 8 | *coder->next++;
    }
    coder->state = state;
    return true;
}

static bool decode_bit(struct decoder *coder, uint32_t *bit)
{
    *bit = (coder->state & FREQUENCY_MASK) >= HALF;
    return advance(coder, *bit ? HALF : 0, HALF);
}

/* The rest of an escape; *offset becomes the symbol before its range check. */
static bool decode_outlier(struct decoder *coder, int32_t regular,
                           int32_t *offset)
{
    uint32_t bits = 0, bit;
    for (;;) {
        if (!decode_bit(coder, &bit))
            return false;
        if (!bit)
            break;
        if (++bits > GAMMA_BITS_MAX)
            return false;
    }
    uint32_t value = 1;
    for (; bits > 0; bits--) {
        if (!decode_bit(coder, &bit))
            return false;
        value = value << 1 | bit;
    }
    value--;
    *offset = value & 1 ? -(int32_t)(value >> 1) - 1
                        : (int32_t)(value >> 1) + regular;
    return true;
}

static bool decode_position(struct context *context, struct decoder *coder,
                            float *row)
{
    const struct nn_prior *prior = context->prior;
    for (uint32_t c = 0; c < prior->channels; c++) {
        uint32_t table = context_table(context, c);
        const uint32_t *cdf = prior->cdf + prior->cdf_start[table];
        uint32_t low = coder->state & FREQUENCY_MASK;
        uint32_t found =
            prior->bucket[(size_t)table * NN_BUCKETS + low / NN_BUCKET];
        /* Ends at the last interval: its end, 65536, exceeds any `low`. */
        while (cdf[found + 1] <= low)
            found++;
        if (!advance(coder, cdf[found], cdf[found + 1] - cdf[found]))
            return false;
        int32_t regular = regular_of(prior, table);
        int32_t symbol = (int32_t)found;
        if (symbol == regular && !decode_outlier(coder, regular, &symbol))
            return false;
        int32_t quantised = symbol + prior->symbol_min[c];
        if (quantised > NN_RANS_LIMIT || quantised < -NN_RANS_LIMIT)
            return false;
        context_note(context, c, quantised);
        row[c] = (float)quantised * prior->inverse_gain[c];
    }
    return true;
}

enum api_status nn_rans_decode(const struct nn_prior *prior,
                               const uint8_t *bytes, size_t count,
                               struct nn_rans_grid grid, void *scratch,
                               float *values)
{
    if (count < 4)
        return API_UNPROCESSABLE;
    struct decoder coder = {0, bytes + 4, bytes + count};
    for (int i = 3; i >= 0; i--)
        coder.state = coder.state << 8 | bytes[i];
    if (coder.state < STATE_MIN || coder.state >> 31)
        return API_UNPROCESSABLE;
    struct context context = context_begin(prior, grid.width, scratch);
    for (size_t p = 0; p < grid.height * grid.width; p++) {
        context_enter(&context, p % grid.width);
        if (!decode_position(&context, &coder, values + p * prior->channels))
            return API_UNPROCESSABLE;
        context_leave(&context);
    }
    /* Where the encoder began; with bytes left or another state, this is not
     * what an encoder wrote. */
    if (coder.state != STATE_MIN || coder.next != coder.end)
        return API_UNPROCESSABLE;
    return API_OK;
}
