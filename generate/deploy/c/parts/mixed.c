/* What becomes of a layer's sums, which are in steps of the weights: the nearest level of its output, halves to even,
   as a float. */
struct output {
    float weight_scale;
    float scale;
    float inverse_scale;
    float lowest;
    float highest;
{% if shifted_weights %}
    int16_t weight_zero_point;
{% endif %}
};

static value finished(sum total, const struct output *to)
{
    const float integers = 12582912.0F; /* 1.5 x 2^23: floats of this size have no fraction. */
    float steps = total * to->weight_scale * to->inverse_scale;

    steps = steps < to->lowest ? to->lowest : steps > to->highest ? to->highest : steps;
    return ((steps + integers) - integers) * to->scale;
}

static value entered(uint8_t byte)
{
    return ((float)input_table[byte] - {{ inputs.zero_point | number }}) * {{ inputs.scale | number }};
}
