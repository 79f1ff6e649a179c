/* A linear layer of which the weights that are not 0 are stored, and a bit for every weight that says whether it is;
   the lowest bit of a byte comes first. */
struct bitmask {
    uint32_t inputs;
    uint32_t outputs;
    const uint8_t *mask;
    const weight *weights;
    const sum *bias;
    struct output to;
};

static void linear_bitmask(const struct bitmask *layer, const value *input, value *output)
{
    const uint8_t *mask = layer->mask;
    const weight *next = layer->weights;
    unsigned bits = 1;

    for (uint32_t row = 0; row < layer->outputs; row++) {
        sum total = layer->bias[row];

        for (uint32_t i = 0; i < layer->inputs; i++) {
            if (bits == 1) {
                bits = 256U | *mask++;
            }
            if (bits & 1U) {
                total += (sum)input[i] * {{ weight_of("*next++") }};
            }
            bits >>= 1;
        }
        output[row] = finished(total, &layer->to);
    }
}
