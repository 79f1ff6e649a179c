/* Predicts one image of the test set and compares: prints the answer, and returns 0 if it is as expected. */

#include "model.h"

#include <stdio.h>

{{ image_constant }}

{{ logits_constant }}

int main(void)
{
    model_logit logits[MODEL_CLASSES];
    const int answer = model_predict(image, logits);
    double largest = 0;

    for (int i = 0; i < MODEL_CLASSES; i++) {
        const double difference = (double)logits[i] - (double)expected[i];

        largest = difference > largest ? difference : -difference > largest ? -difference : largest;
    }
    printf("answer %d, expected {{ answer }}; largest difference of a logit %g\n", answer, largest);
    return answer == {{ answer }} && largest <= {{ tolerance }} ? 0 : 1;
}
