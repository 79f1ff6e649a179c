/* How a layer's sums become levels of its output: level = sum x multiplier / 2^shift + zero point, rounded, halves up,
   and clamped. */
struct output {
    int32_t multiplier;
{% if shifted_weights %}
    int16_t weight_zero_point;
{% endif %}
    uint8_t shift;
    uint8_t zero_point;
    uint8_t lowest;
    uint8_t highest;
};

static value finished(sum total, const struct output *to)
{
    const int64_t half_steps = 2 * to->zero_point + 1;
    const int64_t scaled = (int64_t)total * to->multiplier + half_steps * ((int64_t)1 << (to->shift - 1));
    const uint64_t level = scaled < 0 ? 0 : (uint64_t)scaled >> to->shift;

    return level > to->highest ? to->highest : level < to->lowest ? to->lowest : (value)level;
}
