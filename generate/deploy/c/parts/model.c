/* {{ title }}
   {{ description }}
   Freestanding C99: no library, no heap. {{ memory }} bytes of static memory.

   Layer and form of its weights, with their bytes:
{% for line in storage %}
   {{ line }}
{% endfor %} */

#include "model.h"

typedef {{ value }} value;
typedef {{ weight }} weight;
typedef {{ sum }} sum;

{% for table in tables %}
{{ table }}

{% endfor %}
{% for part in parts %}
{% include part + ".c" %}

{% endfor %}
{% for constant in constants %}
{{ constant }}

{% endfor %}
{% for part in late_parts %}
{% include part + ".c" %}


{% endfor %}
static value memory[{{ cells }}];

int model_predict(const uint8_t *image, model_logit *logits)
{
    int answer = 0;

{% for line in body %}
    {{ line }}
{% endfor %}

    for (int i = 1; i < MODEL_CLASSES; i++) {
        if (logits[i] > logits[answer]) {
            answer = i;
        }
    }
    return answer;
}
