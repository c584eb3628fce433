/* `at_step kill|fail N PROGRAM [ARGUMENT]...`: runs a program up to its N-th step, a system call that changes files, and there kills
 * it or lets the call fail as on a full disk. Prints the step, or "ended" when there were fewer. Its own exit code is the
 * program's, 137 when it was killed, 125 when programs cannot be traced here. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *step_of(const struct __ptrace_syscall_info *info) {
  const uint64_t *arguments = info->entry.args;
  switch (info->entry.nr) {
#ifdef SYS_rename
    case SYS_mkdir:
    case SYS_rename:
    case SYS_link:
    case SYS_unlink:
    case SYS_rmdir: return "a change of names";
#endif
    case SYS_mkdirat:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_linkat:
    case SYS_unlinkat: return "a change of names";
    case SYS_openat: return (arguments[2] & (O_CREAT | O_WRONLY | O_RDWR)) != 0 ? "opening to write" : NULL;
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev: return arguments[0] > 2 ? "writing" : NULL;
    case SYS_copy_file_range:
    case SYS_sendfile: return "copying";
    case SYS_ftruncate: return "a change of length";
    case SYS_fsync:
    case SYS_fdatasync: return "syncing";
    case SYS_flock: return "locking";
    default: return NULL;
  }
}

/* Lets the call that a thread is about to make do nothing; returns whether that is known for this CPU. */
static int leave_out(pid_t thread) {
#ifdef __x86_64__
  return ptrace(PTRACE_POKEUSER, thread, offsetof(struct user_regs_struct, orig_rax), -1L) == 0;
#else
  (void)thread;
  return 0;
#endif
}

static void fails(pid_t thread) {
#ifdef __x86_64__
  ptrace(PTRACE_POKEUSER, thread, offsetof(struct user_regs_struct, rax), -(long)ENOSPC);
#else
  (void)thread;
#endif
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: at_step kill|fail N PROGRAM [ARGUMENT]...\n");
    return 2;
  }
  const int kills = strcmp(argv[1], "kill") == 0;
  long steps = atol(argv[2]);
  const pid_t program = fork();
  if (program == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
      _exit(125);
    }
    execv(argv[3], argv + 3);
    _exit(125);
  }
  int status = 0;
  if (program < 0 || waitpid(program, &status, 0) != program || !WIFSTOPPED(status) ||
      ptrace(PTRACE_SETOPTIONS, program, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0) {
    return 125;
  }
  pid_t thread = program, failing = 0;
  int signal = 0;
  for (;;) {
    ptrace(PTRACE_SYSCALL, thread, NULL, (long)signal);
    thread = waitpid(-1, &status, __WALL);
    signal = 0;
    if (thread < 0) {
      return 125;
    }
    if (thread == program && WIFEXITED(status)) {
      if (steps > 0) {
        puts("ended");
      }
      return WEXITSTATUS(status);
    }
    if (thread == program && WIFSIGNALED(status)) {
      return 128 + WTERMSIG(status);
    }
    if (!WIFSTOPPED(status)) {
      continue; /* a thread of it ended */
    }
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      struct __ptrace_syscall_info info;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) {
        return 125;
      }
      const char *step = info.op == PTRACE_SYSCALL_INFO_ENTRY ? step_of(&info) : NULL;
      if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread == failing) {
        fails(thread);
        failing = 0;
      } else if (step != NULL && --steps == 0) {
        puts(step);
        fflush(stdout);
        if (kills) {
          kill(program, SIGKILL);
        } else if (leave_out(thread)) {
          failing = thread;
        } else {
          return 125;
        }
      }
    } else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP && WSTOPSIG(status) != SIGTRAP) {
      signal = WSTOPSIG(status);
    }
  }
}
