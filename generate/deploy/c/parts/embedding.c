/* Cuts the image into patches and writes a token for each, after the class token; positions are added. `patch` is
   scratch memory for one patch: channel, row, column. Outside of the image is 0. */
static void embed(const uint8_t *image, float *patch, float *tokens)
{
    const float *positions = later_positions;

    for (uint32_t i = 0; i < WIDTH; i++) {
        *tokens++ = first_token[i];
    }
    for (uint32_t top = 0; top < GRID * PATCH_HEIGHT; top += PATCH_HEIGHT) {
        for (uint32_t left = 0; left < GRID * PATCH_WIDTH; left += PATCH_WIDTH) {
            float *next = patch;

            for (uint32_t channel = 0; channel < MODEL_CHANNELS; channel++) {
                for (uint32_t y = top; y < top + PATCH_HEIGHT; y++) {
                    for (uint32_t x = left; x < left + PATCH_WIDTH; x++) {
                        const uint32_t place = (channel * MODEL_HEIGHT + y) * MODEL_WIDTH + x;

                        *next++ = y < MODEL_HEIGHT && x < MODEL_WIDTH ? entered(image[place]) : 0.0F;
                    }
                }
            }
            {{ embedding_call }}, patch, tokens);
            for (uint32_t i = 0; i < WIDTH; i++) {
                *tokens++ += *positions++;
            }
        }
    }
}
