"""The functions of a network in C99 (exporters.c), the same for all networks: text in sections, of which a
file takes those that it needs.

Integers alone are computed with, and nothing depends on a compiler: negative numbers are never shifted,
floor division is written out, and widths are said. `$` stands before what a file fills in.
"""

from __future__ import annotations

import re
from string import Template

TYPES = """\
/* Integers, one behind the other, of 1, 2, 4 or 8 bytes each. */
struct list {
    const void *at;
    int8_t bytes;
};

/* One integer of each neuron of a map (channels, height, width), or one that several neurons share: how far
 * apart those of two channels, rows and columns lie (0: they share it). No address: 0 for all. */
struct each {
    struct list values;
    int32_t channel, row, column;
};

/* What is sent in each step, `step` integers apart (0: the same in all). No address: what the image sends. */
struct trace {
    void *at;
    int8_t bytes;
    int32_t step;
};

/* Rows and columns of `channels` maps, as they are read: row y is the sum of `tall` rows of the source,
 * from first_row[y] on, each times its row_weight; likewise columns. Pools and resampling. No list of
 * channels: all. */
struct spread {
    struct trace from, into;
    struct list channel;
    int32_t channels, height, width, source_height, source_width, tall, wide;
    struct list first_row, row_weight, first_column, column_weight;
};

/* Synapses: a convolution of a map (inputs, height, width), of which a neuron hears one element. A dense
 * layer is one whose kernel is as large as what it reads. */
struct projection {
    void (*add)(const struct projection *q, int32_t given);
    const struct spread *spread;     /* what is done before, or none */
    struct trace read;
    const void *weight;              /* (rows, inputs, kernel_y, kernel_x) */
    int64_t factor;                  /* of each sum */
    struct list channel;             /* which channels of the source are read, or all */
    struct list given;               /* which block of what it gives each block of neurons hears: -1: none */
    int32_t block;                   /* how many neurons that is; no list: its own */
    int32_t inputs, rows_of_group, height, width;
    int32_t kernel_y, kernel_x, stride_y, stride_x, top, left, dilation_y, dilation_x;
    int32_t given_height, given_width;
};

/* What reads synapses. */
struct driven {
    const struct projection *projections;
    int32_t count;
    struct each bias;
};

struct population {
    void (*run)(const struct population *p);
    const void *self;
    struct trace sent;
    int32_t channels, height, width;
    int64_t worth;                   /* of an integer that is sent */
};
"""

STATE = """\
static const void *image;            /* what the input sends in each step */
static int32_t *sums;                /* of the read-outs, and how far apart those of two steps lie */
static int32_t every;
static int64_t z[STEPS];             /* of one neuron: what it hears in each step */
static int8_t fresh = 1;             /* states are at their beginning, and biases act */
static uint64_t saturated;
"""

LOAD = """\
static int64_t load(const void *at, int8_t bytes, int32_t i)
{
    switch (bytes) {
    case 1:
        return ((const int8_t *)at)[i];
    case 2:
        return ((const int16_t *)at)[i];
    case 4:
        return ((const int32_t *)at)[i];
    default:
        return ((const int64_t *)at)[i];
    }
}
"""

STORE = """\
static void store(void *at, int8_t bytes, int32_t i, int64_t value)
{
    switch (bytes) {
    case 1:
        ((int8_t *)at)[i] = (int8_t)value;
        break;
    case 2:
        ((int16_t *)at)[i] = (int16_t)value;
        break;
    case 4:
        ((int32_t *)at)[i] = (int32_t)value;
        break;
    default:
        ((int64_t *)at)[i] = value;
    }
}
"""

LISTS = """\
static int64_t get(const struct list *a, int32_t i)
{
    return load(a->at, a->bytes, i);
}

static int64_t of(const struct each *a, int32_t c, int32_t y, int32_t x)
{
    return a->values.at ? get(&a->values, c * a->channel + y * a->row + x * a->column) : 0;
}

static const void *spikes(const struct trace *s)
{
    return s->at ? s->at : image;
}
"""

LEAST = """\
static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
"""

FLOORED = """\
/* The largest integer that is at most a / b; b > 0. */
static int64_t floored(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
"""

SPREAD = """\
static void spread(const struct spread *s)
{
    const int32_t area = s->height * s->width, steps = s->into.step ? STEPS : 1;
    int32_t t, c, y, x, i, j;
    for (t = 0; t < steps; t++)
        for (c = 0; c < s->channels; c++)
            for (y = 0; y < s->height; y++)
                for (x = 0; x < s->width; x++) {
                    const int32_t channel = s->channel.at ? (int32_t)get(&s->channel, c) : c;
                    const int32_t row = (int32_t)get(&s->first_row, y);
                    const int32_t column = (int32_t)get(&s->first_column, x);
                    int64_t sum = 0;
                    for (i = 0; i < s->tall; i++) {
                        const int64_t weight = get(&s->row_weight, y * s->tall + i);
                        const int32_t line = t * s->from.step
                            + (channel * s->source_height + row + i) * s->source_width + column;
                        if (weight != 0)
                            for (j = 0; j < s->wide; j++)
                                sum += weight * get(&s->column_weight, x * s->wide + j)
                                    * load(spikes(&s->from), s->from.bytes, line + j);
                    }
                    store(s->into.at, s->into.bytes, t * s->into.step + c * area + y * s->width + x, sum);
                }
}
"""

INSIDE = """\
/* Of a kernel that begins at `start`, on a map of `size`: its first element on the map, and the first
 * beyond. */
static int32_t first_inside(int32_t start, int32_t dilation)
{
    return start < 0 ? (dilation - 1 - start) / dilation : 0;
}

static int32_t end_inside(int32_t start, int32_t dilation, int32_t size, int32_t kernel)
{
    const int32_t end = start < size ? (size - start + dilation - 1) / dilation : 0;
    return end < kernel ? end : kernel;
}

static void hears(int32_t t, int32_t steps, int64_t current)
{
    if (steps == STEPS)
        z[t] += current;
    else
        for (t = 0; t < STEPS; t++)
            z[t] += current;
}
"""

CONV = Template("""\
static void $name(const struct projection *q, int32_t given)
{
    const $spike *x = spikes(&q->read);
    const $weight *weights = q->weight;
    const int32_t area = q->height * q->width, elements = q->kernel_y * q->kernel_x;
    const int32_t column = given % q->given_width, line = given / q->given_width % q->given_height;
    const int32_t row = given / q->given_width / q->given_height;
    const int32_t top = line * q->stride_y - q->top, left = column * q->stride_x - q->left;
    const int32_t y0 = first_inside(top, q->dilation_y), x0 = first_inside(left, q->dilation_x);
    const int32_t y1 = end_inside(top, q->dilation_y, q->height, q->kernel_y);
    const int32_t x1 = end_inside(left, q->dilation_x, q->width, q->kernel_x);
    const int32_t first = row / q->rows_of_group * q->inputs, steps = q->read.step ? STEPS : 1;
    const int32_t gap = q->dilation_x;
    const int one = elements == 1 && !q->channel.at && y0 < y1 && x0 < x1;
    int32_t t, i, ky, kx;
    for (t = 0; t < steps; t++) {
        const $weight *kernel = weights + row * q->inputs * elements;
        $sum sum = 0;
        if (one) {
            const $spike *pixel = x + t * q->read.step + first * area + top * q->width + left;
            for (i = 0; i < q->inputs; i++)
                sum += ($sum)kernel[i] * pixel[i * area];
        }
        for (i = first; !one && i < first + q->inputs; i++) {
            const int32_t channel = q->channel.at ? (int32_t)get(&q->channel, i) : i;
            const $spike *map = x + t * q->read.step + channel * area;
            for (ky = y0; ky < y1; ky++) {
                const $weight *w = kernel + ky * q->kernel_x;
                const int32_t at = (top + ky * q->dilation_y) * q->width + left;
                for (kx = x0; kx < x1; kx++)
                    sum += ($sum)w[kx] * map[at + kx * gap];
            }
            kernel += elements;
        }
        hears(t, steps, sum * q->factor);
    }
}
""")

DRIVEN = """\
/* What neuron i hears in all steps: bias and currents. */
static void hear(const struct driven *d, int32_t i, int64_t bias)
{
    int32_t t, j;
    for (t = 0; t < STEPS; t++)
        z[t] = fresh ? bias : 0;
    for (j = 0; j < d->count; j++) {
        const struct projection *q = &d->projections[j];
        const int32_t block = q->given.at ? (int32_t)get(&q->given, i / q->block) : i / q->block;
        if (block >= 0)
            q->add(q, block * q->block + i % q->block);
    }
}

/* A state of 24 bits, which saturates. */
static int32_t integrated(int32_t v, int64_t current)
{
    const int64_t sum = v + current;
    if (sum >= -LARGEST && sum <= LARGEST)
        return (int32_t)sum;
    saturated++;
    return sum < 0 ? -LARGEST : LARGEST;
}
"""

PREPARE = """\
static void prepare(const struct driven *d)
{
    int32_t j;
    for (j = 0; j < d->count; j++)
        if (d->projections[j].spread)
            spread(d->projections[j].spread);
}
"""

READOUT = """\
struct readout {
    struct driven driven;
    int32_t *v;                      /* kept from frame to frame, or none */
    int32_t first;                   /* of its sums among those of all read-outs */
};

static void readout(const struct population *p)
{
    const struct readout *n = p->self;
    int32_t i = 0, c, y, x, t;
    prepare(&n->driven);
    for (c = 0; c < p->channels; c++)
        for (y = 0; y < p->height; y++)
            for (x = 0; x < p->width; x++, i++) {
                int32_t v = fresh || !n->v ? 0 : n->v[i];
                hear(&n->driven, i, of(&n->driven.bias, c, y, x));
                for (t = 0; t < STEPS; t++) {
                    v = integrated(v, z[t]);
                    sums[t * every + n->first + i] = v;
                }
                if (n->v)
                    n->v[i] = v;
            }
}
"""

SUMMED = """\
/* Steps that running sums hold after step t, those of a frame. */
static int32_t summed(int32_t t)
{
    return fresh && t < STEPS ? t + 1 : STEPS;
}
"""

TOWARD = """\
/* How many levels are sent at once and held at most (0: any number), and whether fewer than none may be. */
struct dials {
    int64_t levels, most;
    int8_t two_sided;
};

/* The levels that are sent so that m comes to the nearest whole number of thresholds in `value`. */
static int64_t toward(const struct dials *d, int64_t value, int64_t m, int64_t vth, int64_t band)
{
    const int64_t apart = 2 * (value - m * vth);
    int64_t goal;
    if (vth == 0 || (band > 0 && apart < vth + 2 * band && apart >= -vth - 2 * band))
        return 0;
    goal = floored(2 * value + vth, 2 * vth);
    if (d->most && goal > d->most)
        goal = d->most;
    if (!d->two_sided && goal < 0)
        goal = 0;
    if (d->two_sided && d->most && goal < -d->most)
        goal = -d->most;
    goal -= m;
    return goal > d->levels ? d->levels : goal < -d->levels ? -d->levels : goal;
}
"""

NEURONS = """\
/* Lines of a function of the running sum, which knots part: `rows` of them, one a channel or one for all. */
struct curve {
    int32_t rows, knots;
    struct list knot, slope, offset;
};

struct neurons {
    struct driven driven;
    struct dials dials;
    int32_t lead;
    const struct curve *curve;       /* none: they rectify */
    struct each vth, payload, start, lower, band;
    int32_t *v;                      /* kept from frame to frame, or none */
    void *m;
    int8_t m_bytes;
};

/* Levels to send: whole thresholds in v; down, one more where what they leave reaches the lower threshold. */
static int64_t fire(const struct dials *d, int32_t v, int64_t m, int32_t vth, int64_t lower, int64_t band)
{
    const int32_t size = v < 0 ? -v : v;
    int64_t k = 0;
    if (vth == 0)
        return 0;
    if (v >= vth + band) {
        k = least(size / vth, d->levels);
        return d->most ? least(k, d->most - m) : k;
    }
    if (v < 0 && v <= -band) {
        k = size / vth + (size % vth >= lower);
        k = least(k, d->levels);
        if (!d->two_sided)
            k = least(k, m);
        return -(d->most ? least(k, d->most + m) : k);
    }
    return 0;
}

/* t f(v / t) after t = `steps`: knots and offsets are taken so many times, and nothing is divided. */
static int64_t valued(const struct curve *f, int32_t channel, int64_t v, int32_t steps)
{
    const int32_t row = f->rows == 1 ? 0 : channel;
    int32_t piece = row * (f->knots + 1), j;
    for (j = 0; j < f->knots; j++)
        piece += v >= steps * get(&f->knot, row * f->knots + j);
    return v * get(&f->slope, piece) + steps * get(&f->offset, piece);
}

/* All steps of one neuron behind another. */
static void neurons(const struct population *p)
{
    const struct neurons *n = p->self;
    int32_t i = 0, c, y, x, t;
    prepare(&n->driven);
    for (c = 0; c < p->channels; c++)
        for (y = 0; y < p->height; y++)
            for (x = 0; x < p->width; x++, i++) {
                const int32_t vth = (int32_t)of(&n->vth, c, y, x);
                const int64_t payload = of(&n->payload, c, y, x), lower = of(&n->lower, c, y, x);
                const int64_t band = of(&n->band, c, y, x);
                const int kept = n->v && !fresh;
                int32_t v = kept ? n->v[i] : (int32_t)of(&n->start, c, y, x);
                int64_t m = kept ? load(n->m, n->m_bytes, i) : 0, k;
                hear(&n->driven, i, of(&n->driven.bias, c, y, x));
                for (t = 0; t < STEPS + n->lead; t++) {
                    if (t < STEPS)
                        v = integrated(v, z[t]);
                    if (t < n->lead)
                        continue;
                    if (n->curve) {
                        k = toward(&n->dials, valued(n->curve, c, v, summed(t)), m, vth, band);
                    } else {
                        k = fire(&n->dials, v, m, vth, lower, band);
                        v = (int32_t)(v - k * vth);
                    }
                    m += k;
                    store(p->sent.at, p->sent.bytes, (t - n->lead) * p->sent.step + i, k * payload);
                }
                if (n->v) {
                    n->v[i] = v;
                    store(n->m, n->m_bytes, i, m);
                }
            }
}
"""

TOTALS = """\
/* Running sums of a source, kept from frame to frame, or none. */
struct totals {
    void *at;
    int8_t bytes;
};

static int64_t before(const struct totals *s, int32_t i)
{
    return s->at && !fresh ? load(s->at, s->bytes, i) : 0;
}

static void keep(const struct totals *s, const struct trace *from, int32_t neurons)
{
    int32_t i, t;
    for (i = 0; s->at && i < neurons; i++) {
        int64_t total = before(s, i);
        for (t = 0; t < STEPS; t++)
            total += load(spikes(from), from->bytes, t * from->step + i);
        store(s->at, s->bytes, i, total);
    }
}
"""

POOL = """\
struct pool {
    struct trace from;
    int32_t height, width;           /* of the source's maps */
    int32_t kernel_y, kernel_x, stride_y, stride_x, top, left, dilation_y, dilation_x;
    struct totals totals, best;      /* of the source; the maxima that were sent */
};

/* Sends by how much the maximum of a window's running sums changes. */
static void pool(const struct population *p)
{
    const struct pool *n = p->self;
    int32_t i = 0, c, y, x, t, ky, kx;
    for (c = 0; c < p->channels; c++)
        for (y = 0; y < p->height; y++)
            for (x = 0; x < p->width; x++, i++) {
                const int32_t top = y * n->stride_y - n->top, left = x * n->stride_x - n->left;
                const int32_t y1 = end_inside(top, n->dilation_y, n->height, n->kernel_y);
                const int32_t x1 = end_inside(left, n->dilation_x, n->width, n->kernel_x);
                int64_t sent = before(&n->best, i);
                for (t = 0; t < STEPS; t++)
                    z[t] = INT64_MIN;
                for (ky = first_inside(top, n->dilation_y); ky < y1; ky++)
                    for (kx = first_inside(left, n->dilation_x); kx < x1; kx++) {
                        const int32_t row = c * n->height + top + ky * n->dilation_y;
                        const int32_t at = row * n->width + left + kx * n->dilation_x;
                        int64_t total = before(&n->totals, at);
                        for (t = 0; t < STEPS; t++) {
                            total += load(spikes(&n->from), n->from.bytes, t * n->from.step + at);
                            if (total > z[t])
                                z[t] = total;
                        }
                    }
                for (t = 0; t < STEPS; t++) {
                    store(p->sent.at, p->sent.bytes, t * p->sent.step + i, z[t] - sent);
                    sent = z[t];
                }
                if (n->best.at)
                    store(n->best.at, n->best.bytes, i, sent);
            }
    keep(&n->totals, &n->from, p->channels * n->height * n->width);
}
"""

GATE = """\
struct gate {
    struct trace from, by;           /* two sources, */
    struct each position;            /* which neuron of the second: channel, row and column apart */
    int32_t gates;                   /* and how many it has */
    int64_t worth;                   /* of a product of what both send */
    struct dials dials;
    struct each vth, payload, band, gain;
    struct totals a, b;
    void *m;
    int8_t m_bytes;
};

/* Sends the change of the product of two running sums. */
static void gate(const struct population *p)
{
    const struct gate *n = p->self;
    int32_t i = 0, c, y, x, t;
    for (c = 0; c < p->channels; c++)
        for (y = 0; y < p->height; y++)
            for (x = 0; x < p->width; x++, i++) {
                const struct each *at = &n->position;
                const int32_t j = c * at->channel + y * at->row + x * at->column;
                const int64_t vth = of(&n->vth, c, y, x), payload = of(&n->payload, c, y, x);
                const int64_t band = of(&n->band, c, y, x), gain = of(&n->gain, c, y, x);
                int64_t a = before(&n->a, i), b = before(&n->b, j);
                int64_t m = n->m && !fresh ? load(n->m, n->m_bytes, i) : 0;
                for (t = 0; t < STEPS; t++) {
                    const int64_t taken = floored(2 * gain + summed(t), 2 * (int64_t)summed(t));
                    int64_t k;
                    a += load(spikes(&n->from), n->from.bytes, t * n->from.step + i);
                    b += load(spikes(&n->by), n->by.bytes, t * n->by.step + j);
                    k = toward(&n->dials, a * b * n->worth * taken, m, vth, band);
                    m += k;
                    store(p->sent.at, p->sent.bytes, t * p->sent.step + i, k * payload);
                }
                if (n->m)
                    store(n->m, n->m_bytes, i, m);
            }
    keep(&n->a, &n->from, p->channels * p->height * p->width);
    keep(&n->b, &n->by, n->gates);
}
"""

INPUT = Template("""\
/* Floats are known here alone: the nearest code, ties to even, and whether it was clipped, as NaN is. */
static int clipped(double value, int64_t limit, $code *code)
{
    int64_t nearest = limit;
    double rest;
    if (!(value < (double)limit + 1.0)) {
        *code = ($code)limit;
        return 1;
    }
    if (value < -(double)limit - 1.0) {
        *code = ($code)-limit;
        return 1;
    }
    nearest = (int64_t)value;
    rest = value - (double)nearest;
    if (rest > 0.5 || (rest == 0.5 && nearest % 2 != 0))
        nearest++;
    if (rest < -0.5 || (rest == -0.5 && nearest % 2 != 0))
        nearest--;
    *code = ($code)(nearest > limit ? limit : nearest < -limit ? -limit : nearest);
    return nearest != *code;
}

int32_t ${name}_encode(const float *pixels, $code *codes)
{
    int32_t count = 0, i;
    for (i = 0; i < ${name}_CODES; i++)
        count += clipped((double)pixels[$pixel] / scale[i / $area], $limit, codes + i);
    return count;
}
""")

BEGIN = Template("""\
void ${name}_begin(const $code *codes, int32_t *outputs, int each_step)
{
    image = codes;
    sums = outputs;
    every = each_step ? ${name}_SUMS : 0;
    saturated = 0;
    now = 0;
}
""")

BEGIN_FRAME = Template("""\
void ${name}_init(void)
{
    begun = 0;
    saturated = 0;
}

void ${name}_begin(const $code *codes, int32_t *outputs, int each_step)
{
    $change *changes = $changes;
    int32_t i;
    fresh = !begun;
    begun = 1;
    for (i = 0; i < ${name}_CODES; i++) {
        changes[i] = ($change)(codes[i] - (fresh ? 0 : $last[i]));
        $last[i] = codes[i];
    }
    image = changes;
    sums = outputs;
    every = each_step ? ${name}_SUMS : 0;
    now = 0;
}
""")

API = Template("""\
int ${name}_next(void)
{
    if (now + 1 >= ${name}_POPULATIONS)
        return -1;
    now++;
    populations[now].run(&populations[now]);
    return now;
}

int64_t ${name}_sent(int population, int step, int32_t neuron)
{
    const struct population *p = &populations[population];
    if (p->run == readout)
        return sums[step * every + ((const struct readout *)p->self)->first + neuron];
    return load(spikes(&p->sent), p->sent.bytes, step * p->sent.step + neuron) * p->worth;
}

void ${name}_$run(const $code *codes, int32_t *outputs)
{
    ${name}_begin(codes, outputs, 0);
    while (${name}_next() >= 0)
        continue;
}

uint64_t ${name}_saturated(void)
{
    return saturated;
}
""")

HEADER = Template("""\
${head}
#ifndef $guard
#define $guard

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

$numbers

/* Populations, in the order in which they run, from 1 on: 0 is the image, whose codes are sent. */
enum {
$populations
};

/* All memory is static: one image at a time. */

/* An image $shape to the codes of its pixels, in the order in which the network takes them; how many were
 * clipped, NaN among them. The one function that needs floats, and double has to have 64 bits; codes that
 * are made elsewhere do as well. */
int32_t ${name}_encode(const float *pixels, $code *codes);

$entry
/* The same, population by population: begin, then next, which runs one and says which, or -1 where all have
 * run. The codes stay as they are until then. outputs: after each step, (${name}_STEPS, ${name}_SUMS), where
 * each_step is not 0, else after the last, ${name}_SUMS. */
void ${name}_begin(const $code *codes, int32_t *outputs, int each_step);
int ${name}_next(void);

/* What a neuron has sent in a step, from 0 on: to be asked when next has just said its population, since
 * others use that memory afterwards. Of a read-out, its sum. */
int64_t ${name}_sent(int population, int step, int32_t neuron);

/* How often a potential was clipped to 24 bits $since. */
uint64_t ${name}_saturated(void);

#ifdef __cplusplus
}
#endif

#endif
""")

IMAGES = Template("""\
/* An image of ${name}_CODES codes to the sums of all read-outs, one behind the other, after the last step. */
void ${name}_run(const $code *codes, int32_t *outputs);
""")

FRAMES = Template("""\
/* The next frame is the first of a stream. */
void ${name}_init(void);

/* The next frame of a stream, of ${name}_CODES codes, to the sums of all read-outs, one behind the other,
 * after its last step. */
void ${name}_frame(const $code *codes, int32_t *outputs);
""")

TABLES = ("spreads", "projections", "curves", "all_neurons", "pools", "gates", "readouts", "populations")
TEXTS = [
    t if isinstance(t, str) else t.template for t in list(globals().values()) if isinstance(t, str | Template)
]
NAMES = frozenset(re.findall(r"\w+", " ".join(TEXTS))) | set(TABLES)
