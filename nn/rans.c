/* rANS with a 32-bit state renormalised by bytes, and escapes for outliers. */
#include "nn/rans.h"

#include <math.h>
#include <string.h>

#include "nn/rans_context.h"

/* The state lives in [STATE_MIN, STATE_MIN << 8); frequencies sum to
 * 1 << FREQUENCY_BITS. */
#define STATE_MIN ((uint32_t)1 << 23)
#define FREQUENCY_BITS 16
#define FREQUENCY_MASK (((uint32_t)1 << FREQUENCY_BITS) - 1)
#define HALF ((uint32_t)1 << (FREQUENCY_BITS - 1))

/* v = u + 1 with u <= 2 * (2^20 + 2^20): its leading one is bit 22 at most. */
enum { GAMMA_BITS_MAX = 22 };

/* Bytes are written from the end of the buffer downwards, because the decoder
 * reads in the reverse of the order of coding. */
struct encoder {
    uint32_t state;
    uint8_t *begin, *next;
    bool full;
};

static void encode(struct encoder *coder, uint32_t start, uint32_t frequency)
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
    coder->state =
        (state / frequency << FREQUENCY_BITS) + state % frequency + start;
}

static void encode_bit(struct encoder *coder, uint32_t bit)
{
    encode(coder, bit ? HALF : 0, HALF);
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

static int32_t quantise(float value, float gain)
{
    float scaled = rintf(value * gain);
    if (scaled > NN_RANS_LIMIT)
        return NN_RANS_LIMIT;
    if (scaled < -NN_RANS_LIMIT)
        return -NN_RANS_LIMIT;
    return (int32_t)scaled;
}

/* One value on its way into the stream. */
struct symbol {
    int32_t offset; /* from the channel's symbol_min */
    uint32_t table;
};

size_t nn_rans_scratch_bytes(struct nn_rans_grid grid, size_t channels)
{
    return grid.height * grid.width * channels * sizeof(struct symbol) +
           context_sums(grid.width, channels) * sizeof(int32_t);
}

/* The decoder learns contexts forwards, coding goes backwards: so all symbols
 * and their tables come first. */
static void choose_tables(const struct nn_prior *prior, const float *values,
                          struct nn_rans_grid grid, struct symbol *symbols)
{
    size_t positions = grid.height * grid.width;
    struct context context = context_begin(
        prior, grid.width, (int32_t *)(symbols + positions * prior->channels));
    for (size_t p = 0; p < positions; p++) {
        context_enter(&context, p % grid.width);
        for (uint32_t c = 0; c < prior->channels; c++) {
            int32_t quantised = quantise(*values++, prior->gain[c]);
            *symbols++ = (struct symbol){quantised - prior->symbol_min[c],
                                         context_table(&context, c)};
            context_note(&context, c, quantised);
        }
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
    struct symbol *symbols = scratch;
    choose_tables(prior, values, grid, symbols);
    struct encoder coder = {STATE_MIN, out + 4, out + capacity, false};
    size_t count = grid.height * grid.width * prior->channels;
    for (size_t i = count; i-- > 0 && !coder.full;) {
        const uint32_t *cdf = prior->cdf + prior->cdf_start[symbols[i].table];
        int32_t regular = regular_of(prior, symbols[i].table);
        int32_t offset = symbols[i].offset;
        if (offset < 0 || offset >= regular) {
            encode_outlier(&coder, offset, regular);
            offset = regular;
        }
        encode(&coder, cdf[offset], cdf[offset + 1] - cdf[offset]);
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
    }
    /* Where the encoder began; with bytes left or another state, this is not
     * what an encoder wrote. */
    if (coder.state != STATE_MIN || coder.next != coder.end)
        return API_UNPROCESSABLE;
    return API_OK;
}
