/* {{ title }}

   model_predict reads an image of MODEL_BYTES bytes, channel by channel and each row by row, writes the logits and
   returns the answer, 0 to MODEL_CLASSES - 1: the first of the highest logits. It uses {{ memory }} bytes of static memory:
   one call at a time. */

#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#define MODEL_CHANNELS {{ image.channels }}
#define MODEL_HEIGHT {{ image.height }}
#define MODEL_WIDTH {{ image.width }}
#define MODEL_BYTES {{ image.values }}
#define MODEL_CLASSES {{ image.classes }}
{% if arithmetic == "integer" %}

/* A logit is (level - MODEL_ZERO_POINT) * MODEL_SCALE. */
#define MODEL_SCALE {{ outputs.scale | number }}
#define MODEL_ZERO_POINT {{ outputs.zero_point }}
{% endif %}

typedef {{ value }} model_logit;

#ifdef __cplusplus
extern "C" {
#endif

int model_predict(const uint8_t *image, model_logit *logits);

#ifdef __cplusplus
}
#endif

#endif
