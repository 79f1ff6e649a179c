/* 2^x within 2 units in the last place for x up to 127, 2^-125 below -125: the polynomial of Cephes' exp2f on
   [-1/2, 1/2]. Adding 1.5 x 2^23 leaves the nearest integer in the low bits of the sum. */
static float power_of_two(float x)
{
    union {
        float number;
        uint32_t bits;
    } nearest, result;
    const float low = x < -125.0F ? -125.0F : x;
    float rest;

    nearest.number = low + 12582912.0F;
    rest = low - (nearest.number - 12582912.0F);
    result.number = 1.535336188e-4F;
    result.number = result.number * rest + 1.339887440e-3F;
    result.number = result.number * rest + 9.618437357e-3F;
    result.number = result.number * rest + 5.550332471e-2F;
    result.number = result.number * rest + 2.402264791e-1F;
    result.number = result.number * rest + 6.931472028e-1F;
    result.number = result.number * rest + 1.0F;
    result.bits += nearest.bits << 23;
    return result.number;
}

/* 1 / sqrt(x) by Newton's method from a first guess on the bits. */
static float inverse_root(float x)
{
    union {
        float number;
        uint32_t bits;
    } guess;

    guess.number = x;
    guess.bits = 0x5f375a86U - (guess.bits >> 1);
    for (int i = 0; i < 4; i++) {
        guess.number *= 1.5F - 0.5F * x * guess.number * guess.number;
    }
    return guess.number;
}

/* GELU(x) = x Phi(x), Phi by formula 7.1.26 of Abramowitz and Stegun, off by at most 7.5e-8. */
static void gelu(float *values, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        const float x = values[i];
        const float bell = power_of_two(x * x * -0.72134752F);
        const float t = 1.0F / (1.0F + (x < 0.0F ? -x : x) * 0.23164189F);
        const float series =
            (((1.061405429F * t - 1.453152027F) * t + 1.421413741F) * t - 0.284496736F) * t + 0.254829592F;
        const float tail = 0.5F * series * t * bell;

        values[i] = x * (x < 0.0F ? tail : 1.0F - tail);
    }
}

struct norm {
    uint32_t width;
    const float *weights;
    const float *bias;
};

static void normalise(const struct norm *layer, const float *input, float *output)
{
    const float share = 1.0F / (float)layer->width;
    float mean = 0.0F, variance = 0.0F, scale;

    for (uint32_t i = 0; i < layer->width; i++) {
        mean += input[i];
    }
    mean *= share;
    for (uint32_t i = 0; i < layer->width; i++) {
        variance += (input[i] - mean) * (input[i] - mean);
    }
    scale = inverse_root(variance * share + 1e-5F);
    for (uint32_t i = 0; i < layer->width; i++) {
        output[i] = (input[i] - mean) * scale * layer->weights[i] + layer->bias[i];
    }
}

static void add(const float *values, float *sums, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        sums[i] += values[i];
    }
}

/* What one token gathers from all of them, head by head; `joint` holds query, key and value of every token. */
static void attend(const float *joint, uint32_t token, float *shares, float *output)
{
    const uint32_t stride = 3 * WIDTH, size = WIDTH / HEADS;

    for (uint32_t head = 0; head < HEADS; head++) {
        const float *query = joint + token * stride + head * size;
        const float *key = joint + WIDTH + head * size, *values = joint + 2 * WIDTH + head * size;
        float highest = 0.0F, total = 0.0F;

        for (uint32_t other = 0; other < TOKENS; other++) {
            float score = 0.0F;

            for (uint32_t i = 0; i < size; i++) {
                score += query[i] * key[other * stride + i];
            }
            shares[other] = score * {{ attention_scale | number }};
            highest = other == 0 || shares[other] > highest ? shares[other] : highest;
        }
        for (uint32_t other = 0; other < TOKENS; other++) {
            shares[other] = power_of_two((shares[other] - highest) * 1.44269504F);
            total += shares[other];
        }
        for (uint32_t i = 0; i < size; i++) {
            float gathered = 0.0F;

            for (uint32_t other = 0; other < TOKENS; other++) {
                gathered += shares[other] * values[other * stride + i];
            }
            output[head * size + i] = gathered / total;
        }
    }
}
