/* What becomes of a layer's sums: under a ReLU, sums below 0 become 0. */
struct output {
    uint8_t relu;
};

static value finished(sum total, const struct output *to)
{
    return to->relu && total < 0.0F ? 0.0F : total;
}

static value entered(uint8_t byte)
{
    return (float)byte * {{ input_scale | number }} - {{ input_shift | number }};
}
