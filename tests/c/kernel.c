/* `kernel BUNDLE [KERNEL]`: opens an engine with the kernel that options.kernel names, or without one, and prints the name
 * that adclick_kernel gives. */

#include <adclick.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: kernel BUNDLE [KERNEL]\n");
    return 2;
  }
  adclick_error error = {.struct_size = sizeof error};
  adclick_engine_options options = {.struct_size = sizeof options};
  if (argc > 2) {
    strncpy(options.kernel, argv[2], sizeof options.kernel - 1);
  }
  adclick_engine *engine = NULL;
  const int32_t status = adclick_engine_open(argv[1], strlen(argv[1]), &options, &engine, &error);
  if (status != ADCLICK_OK) {
    fprintf(stderr, "%s: %s\n", adclick_status_name(status), error.message);
    return 1;
  }
  printf("%s\n", adclick_kernel(engine));
  return adclick_engine_close(engine) != ADCLICK_OK;
}
