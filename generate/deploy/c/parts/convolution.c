/* A convolution; `border` is the level or number of a 0, which surrounds the maps. */
struct convolution {
    uint32_t channels, height, width;
    uint32_t maps, rows, columns;
    uint32_t kernel_rows, kernel_columns, stride;
{% if padded %}
    uint32_t padding;
    value border;
{% endif %}
    const weight *weights;
    const sum *bias;
    struct output to;
};

static void convolution(const struct convolution *layer, const value *input, value *output)
{
    const weight *kernel = layer->weights;
    const uint32_t size = layer->channels * layer->kernel_rows * layer->kernel_columns;

    for (uint32_t map = 0; map < layer->maps; map++, kernel += size) {
        for (uint32_t row = 0; row < layer->rows; row++) {
            for (uint32_t column = 0; column < layer->columns; column++) {
                const weight *next = kernel;
                sum total = layer->bias[map];

                for (uint32_t channel = 0; channel < layer->channels; channel++) {
                    for (uint32_t down = 0; down < layer->kernel_rows; down++) {
{% if padded %}
                        /* Above and left of the map these wrap around to large numbers. */
                        const uint32_t y = row * layer->stride + down - layer->padding;

                        for (uint32_t right = 0; right < layer->kernel_columns; right++) {
                            const uint32_t x = column * layer->stride + right - layer->padding;
                            const int inside = y < layer->height && x < layer->width;
                            const value level =
                                inside ? input[(channel * layer->height + y) * layer->width + x] : layer->border;

                            total += (sum)level * {{ weight_of("*next++") }};
                        }
{% else %}
                        const uint32_t y = channel * layer->height + row * layer->stride + down;
                        const value *from = input + y * layer->width + column * layer->stride;

                        for (uint32_t right = 0; right < layer->kernel_columns; right++) {
                            total += (sum)from[right] * {{ weight_of("*next++") }};
                        }
{% endif %}
                    }
                }
                *output++ = finished(total, &layer->to);
            }
        }
    }
}
