/* A linear layer whose weights are stored row by row. */
struct linear {
    uint32_t inputs;
    uint32_t outputs;
    const weight *weights;
    const sum *bias;
    struct output to;
};

static void linear(const struct linear *layer, const value *input, value *output)
{
    const weight *next = layer->weights;

    for (uint32_t row = 0; row < layer->outputs; row++) {
        sum total = layer->bias[row];

        for (uint32_t i = 0; i < layer->inputs; i++) {
            total += (sum)input[i] * {{ weight_of("*next++") }};
        }
        output[row] = finished(total, &layer->to);
    }
}
