/* `threads ROOT BUNDLE STACK`: threads that are cancelled in a call, signals while an engine follows, and a stack of so many bytes.
 * ROOT has CURRENT. Ends with 0 when nothing comes to harm. */

#include <adclick.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *root, *bundle;
static volatile sig_atomic_t signals = 0;
static pthread_t main_thread;
static volatile sig_atomic_t elsewhere = 0;

static void on_signal(int signal) {
  (void)signal;
  signals++;
  if (!pthread_equal(pthread_self(), main_thread)) {
    elsewhere++;
  }
}

static void fail(const char *what, const adclick_error *error) {
  fprintf(stderr, "%s: %s\n", what, error == NULL ? "" : error->message);
  exit(1);
}

/* Opens and closes engines until it is cancelled, which happens outside of the library. */
static void *opens(void *unused) {
  (void)unused;
  for (;;) {
    adclick_error error = {.struct_size = sizeof error};
    adclick_engine *engine = NULL;
    if (adclick_engine_open(bundle, strlen(bundle), NULL, &engine, &error) != ADCLICK_OK) {
      fail("open", &error);
    }
    adclick_engine_close(engine);
    pthread_testcancel();
  }
  return NULL;
}

/* Every call of a serving thread, and the metrics, on a small stack. */
static void *serves(void *argument) {
  adclick_engine *engine = argument;
  adclick_error error = {.struct_size = sizeof error};
  adclick_scorer *scorer = NULL;
  if (adclick_scorer_new(engine, NULL, &scorer, &error) != ADCLICK_OK) {
    fail("scorer", &error);
  }
  const adclick_request request = {.struct_size = sizeof request, .n_candidates = 1};
  const adclick_candidate candidate = {.ad_key = 1, .bid_kind = ADCLICK_BID_KIND_CPC, .bid_micros = 1000000};
  adclick_winner winner;
  if (adclick_scorer_decide(scorer, &request, NULL, &candidate, NULL, &winner, 1, NULL, NULL, &error) != ADCLICK_OK) {
    fail("decide", &error);
  }
  static char text[1 << 17];
  size_t length = 0;
  if (adclick_engine_metrics(engine, text, sizeof text, &length, &error) != ADCLICK_OK) {
    fail("metrics", &error);
  }
  adclick_scorer_free(scorer);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: threads ROOT BUNDLE STACK\n");
    return 2;
  }
  root = argv[1];
  bundle = argv[2];
  main_thread = pthread_self();
  for (int i = 0; i < 60; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, opens, NULL) != 0) {
      return 1;
    }
    usleep((useconds_t)(i * 137 % 3000));
    void *result = NULL;
    if (pthread_cancel(thread) != 0 || pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED) {
      fail("a cancelled thread did not end as one", NULL);
    }
  }

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  adclick_error error = {.struct_size = sizeof error};
  const adclick_engine_options options = {.struct_size = sizeof options, .follow_ms = 1};
  adclick_engine *engine = NULL;
  if (adclick_engine_open(root, strlen(root), &options, &engine, &error) != ADCLICK_OK) {
    fail("follow", &error);
  }
  /* While the main thread blocks it, a signal to the process would go to any thread that does not. */
  sigset_t own, before;
  sigemptyset(&own);
  sigaddset(&own, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &own, &before);
  kill(getpid(), SIGUSR1);
  usleep(50000);
  if (signals != 0) {
    fail("a thread of the library took a signal of the host's", NULL);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (signals != 1 || elsewhere != 0) {
    fail("the signal did not come to the main thread", NULL);
  }

  adclick_follow_state state = {.struct_size = sizeof state};
  for (int i = 0; i < 2000 && state.looks < 3; i++) {
    usleep(1000);
    if (adclick_engine_follow_state(engine, &state, &error) != ADCLICK_OK) {
      fail("follow state", &error);
    }
  }
  uint64_t generation = 0;
  adclick_engine_generation(engine, &generation, &error);
  if (state.looks < 3 || state.failed_looks != 0 || state.follows != 1 || state.status != ADCLICK_OK ||
      state.generation != generation || state.looked_us < state.activated_us || state.activations != 0) {
    fail("follow state", NULL);
  }

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (size_t)atol(argv[3]));
  pthread_t thread;
  if (pthread_create(&thread, &attributes, serves, engine) != 0 || pthread_join(thread, NULL) != 0) {
    fail("a thread with a small stack", NULL);
  }

  adclick_staged *staged = NULL;
  uint64_t staged_generation = 0;
  if (adclick_engine_stage(engine, bundle, strlen(bundle), &staged, &error) != ADCLICK_OK ||
      adclick_staged_generation(staged, &staged_generation, &error) != ADCLICK_OK || staged_generation != generation ||
      adclick_staged_discard(staged) != ADCLICK_OK ||
      adclick_staged_generation(staged, &staged_generation, &error) != ADCLICK_CLOSED) {
    fail("staged generation", &error);
  }
  if (adclick_engine_close_within(engine, 5000, &error) != ADCLICK_OK) {
    fail("close", &error);
  }
  return 0;
}
