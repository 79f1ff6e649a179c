/* A linear layer of which the weights that are not 0 are stored, each with its distance from the one before it in the
   row, and the number of them in each row. */
struct deltas {
    uint32_t outputs;
    const uint16_t *counts;
    const uint8_t *distances;
    const weight *weights;
    const sum *bias;
    struct output to;
};

static void linear_deltas(const struct deltas *layer, const value *input, value *output)
{
    const uint8_t *distance = layer->distances;
    const weight *next = layer->weights;

    for (uint32_t row = 0; row < layer->outputs; row++) {
        const value *at = input;
        sum total = layer->bias[row];

        for (uint16_t left = layer->counts[row]; left > 0; left--) {
            at += *distance++;
            total += (sum)*at * {{ weight_of("*next++") }};
        }
        output[row] = finished(total, &layer->to);
    }
}
