// SPDX-License-Identifier: GPL-2.0
/*
 * Programs with inline system calls, as those of liburing, on the preload library of
 * samples/liburing. Calls on a ring go to /dev/miniring, and all other calls are unchanged. The
 * program does not know the library. On io_uring it runs without the library, and the same
 * assertions hold. The program is dynamic; on miniring it restarts itself, preloaded by
 * MINIRING_PRELOAD.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <threads.h>
#include "ring_test.h"

#define PRELOAD "./miniring-preload.so"
#define CHILD "RING_PRELOAD_CHILD"

/* Makes a system call from the text of this program. */
static long inline_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
	long ret = nr;

	asm volatile("syscall"
		     : "+a"(ret)
		     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return ret;
}

#define inline1(nr, a) inline_call(nr, (long)(a), 0, 0, 0, 0, 0)
#define inline2(nr, a, b) inline_call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define inline3(nr, a, b, c) inline_call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define inline4(nr, a, b, c, d) \
	inline_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static int enter(struct uring *ring, unsigned int to_submit, unsigned int min_complete,
		 const sigset_t *mask)
{
	return inline_call(__NR_io_uring_enter, ring->fd, to_submit, min_complete,
			   min_complete ? IORING_ENTER_GETEVENTS : 0, (long)mask, _NSIG / 8);
}

static int open_ring(struct uring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->fd = inline2(__NR_io_uring_setup, 8, &ring->p);
	return ring->fd < 0 ? ring->fd : uring_mmap(ring);
}

/* Returns whether a NOP completes. */
static bool works(struct uring *ring)
{
	static unsigned int last;
	unsigned int data = ++last;
	struct io_uring_cqe *cqe;

	if (!uring_nop(ring, data) || enter(ring, uring_publish(ring), 1, NULL) != 1)
		return false;
	cqe = uring_peek(ring);
	if (!cqe || cqe->user_data != data || cqe->res)
		return false;
	uring_advance(ring, 1);
	return true;
}

static bool new_ring_works(void)
{
	struct uring ring;
	bool good;

	if (open_ring(&ring))
		return false;
	good = works(&ring);
	uring_close(&ring);
	return good;
}

/* Checks the file behind the ring. */
static bool is_of_backend(int fd)
{
	const char *wanted = on_io_uring() ? "anon_inode:[io_uring]" : MINIRING_DEVICE;
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && !strcmp(target, wanted);
}

/* Runs before main(): restarts the program, or runs the part of an exec test. */
__attribute__((constructor)) static void start_preloaded(int argc, char **argv)
{
	const char *library = getenv("MINIRING_PRELOAD");
	struct uring ring;

	(void)argc;
	if (getenv(CHILD))
		_exit(open_ring(&ring) || !is_of_backend(ring.fd) || !works(&ring));
	if (on_io_uring() || getenv("LD_PRELOAD"))
		return;
	setenv("LD_PRELOAD", library ?: PRELOAD, 1);
	execv("/proc/self/exe", argv);
	perror("execv");
	_exit(1);
}

static bool exited_well(pid_t child)
{
	int status;

	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

FIXTURE(preload) {
	struct uring ring;
};

FIXTURE_SETUP(preload)
{
	ASSERT_EQ(0, open_ring(&self->ring));
	ASSERT_TRUE(is_of_backend(self->ring.fd));
}

FIXTURE_TEARDOWN(preload)
{
	uring_close(&self->ring);
}

TEST_F(preload, preloaded_program_submits_and_reaps)
{
	EXPECT_TRUE(works(&self->ring));
}

TEST_F(preload, preloaded_program_registers_an_eventfd)
{
	int efd = eventfd(0, EFD_NONBLOCK);
	unsigned long count = 0;

	ASSERT_EQ(0, inline4(__NR_io_uring_register, self->ring.fd, IORING_REGISTER_EVENTFD,
			     &efd, 1));
	EXPECT_EQ(-EBUSY, inline4(__NR_io_uring_register, self->ring.fd,
				  IORING_REGISTER_EVENTFD, &efd, 1));
	EXPECT_TRUE(works(&self->ring));
	EXPECT_EQ(8, read(efd, &count, sizeof(count)));
	EXPECT_EQ(1, count);
}

TEST_F(preload, preloaded_calls_fail_as_on_io_uring)
{
	struct io_uring_params p = { .flags = 1u << 31 };
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-EINVAL, inline2(__NR_io_uring_setup, 8, &p));
	EXPECT_EQ(-EFAULT, inline2(__NR_io_uring_setup, 8, bad_pointer()));
	EXPECT_EQ(-EOPNOTSUPP, inline3(__NR_io_uring_enter, fds[0], 0, 0));
	EXPECT_EQ(-EBADF, inline3(__NR_io_uring_enter, -1, 0, 0));
	EXPECT_EQ(-EINVAL, inline4(__NR_io_uring_register, -1, IORING_REGISTER_PROBE, 0, 0));
	EXPECT_EQ(-EFAULT, inline_call(__NR_io_uring_enter, self->ring.fd, 0, 1,
				       IORING_ENTER_GETEVENTS, (long)bad_pointer(), _NSIG / 8));
	EXPECT_EQ(-EFAULT, inline_call(__NR_io_uring_enter, self->ring.fd, 0, 1,
				       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
				       (long)bad_pointer(),
				       sizeof(struct io_uring_getevents_arg)));
}

TEST_F(preload, syscall_of_libc_reaches_the_ring)
{
	struct io_uring_params p = {};
	int fd = syscall(__NR_io_uring_setup, 8, &p);

	ASSERT_LE(0, fd);
	EXPECT_TRUE(is_of_backend(fd));
	EXPECT_EQ(0, syscall(__NR_io_uring_enter, fd, 0, 0, 0, NULL, 0));
	EXPECT_EQ(-1, syscall(__NR_io_uring_enter, fd, 0, 0, 1u << 31, NULL, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(getpid(), syscall(__NR_getpid));
}

TEST_F(preload, several_rings_work_at_a_time)
{
	struct uring rings[8];
	int i, round;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, open_ring(&rings[i]));
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 8; i++)
			ASSERT_TRUE(works(&rings[i]));
	}
	for (i = 0; i < 8; i++)
		uring_close(&rings[i]);
}

/* Threads */

static void *posix_thread(void *good)
{
	struct uring ring;
	int round;

	if (open_ring(&ring) || !is_of_backend(ring.fd))
		return NULL;
	for (round = 0; round < 200; round++) {
		if (!uring_nop(&ring, round) || enter(&ring, uring_publish(&ring), 1, NULL) != 1 ||
		    uring_reap(&ring) != 1)
			return NULL;
	}
	uring_close(&ring);
	return good;
}

static int c11_thread(void *good)
{
	return posix_thread(good) == good ? 0 : 1;
}

TEST_F(preload, rings_work_in_threads)
{
	pthread_t posix[8];
	thrd_t c11;
	void *ret;
	int i, res;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, pthread_create(&posix[i], NULL, posix_thread, self));
	ASSERT_EQ(thrd_success, thrd_create(&c11, c11_thread, self));
	EXPECT_TRUE(works(&self->ring));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, pthread_join(posix[i], &ret));
		EXPECT_EQ(self, ret);
	}
	ASSERT_EQ(thrd_success, thrd_join(c11, &res));
	EXPECT_EQ(0, res);
}

TEST_F(preload, ring_works_in_a_thread_with_all_signals_blocked)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all;
	void *ret;

	sigfillset(&all);
	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setsigmask_np(&attr, &all));
	ASSERT_EQ(0, pthread_create(&thread, &attr, posix_thread, self));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(self, ret);
}

/* clone(2) by libc, with shared memory and without. */
TEST_F(preload, ring_works_in_a_child_of_clone)
{
	static long double stack[4096];
	char *top = (char *)(stack + 4096);

	EXPECT_TRUE(exited_well(clone(c11_thread, top, SIGCHLD, self)));
	EXPECT_TRUE(exited_well(clone(c11_thread, top, CLONE_VM | CLONE_VFORK | SIGCHLD, self)));
}

/* Runs on the new stack of an inline clone. Must not return. */
static void on_new_stack(void)
{
	inline1(__NR_exit, new_ring_works() ? 0 : 1);
}

/*
 * The child has the same registers, except the result, and the given stack: it adds up the values
 * that it finds.
 */
static long inline_clone(long flags, char *stack, long magic)
{
	register long r8 asm("r8") = 0, r10 asm("r10") = 0, r12 asm("r12") = magic;
	long ret = __NR_clone;

	asm volatile("syscall\n"
		     "	test	%%rax, %%rax\n"
		     "	jnz	1f\n"
		     "	cmp	$0x1234, %%r12\n"
		     "	jne	2f\n"
		     "	cmp	%%rsi, %%rsp\n"
		     "	jne	2f\n"
		     "	call	*%%rbx\n"
		     "2:	mov	$60, %%eax\n"
		     "	mov	$99, %%edi\n"
		     "	syscall\n"
		     "1:\n"
		     : "+a"(ret)
		     : "D"(flags), "S"(stack), "d"(0), "r"(r10), "r"(r8), "r"(r12),
		       "b"(on_new_stack)
		     : "rcx", "r11", "memory");
	return ret;
}

TEST_F(preload, ring_works_in_a_child_of_inline_clone)
{
	static long double stack[4096];
	char *top = (char *)(stack + 4096);
	pid_t child;

	child = inline_clone(SIGCHLD, top, 0x1234);
	EXPECT_TRUE(exited_well(child));
	/*
	 * Parent and child share the memory and the thread's own area, so one
	 * must wait for the other.
	 */
	child = inline_clone(CLONE_VM | CLONE_VFORK | SIGCHLD, top, 0x1234);
	EXPECT_TRUE(exited_well(child));
}

/* Processes */

TEST_F(preload, ring_works_in_a_child_of_fork)
{
	__typeof__(fork) *fork_only = (__typeof__(fork_only))dlsym(RTLD_DEFAULT, "_Fork");
	pid_t child = fork();

	if (!child)
		_exit(!works(&self->ring) || !new_ring_works());
	EXPECT_TRUE(exited_well(child));
	ASSERT_NE(NULL, fork_only);
	child = fork_only();
	if (!child)
		_exit(!new_ring_works());
	EXPECT_TRUE(exited_well(child));
}

TEST_F(preload, ring_works_in_a_child_of_inline_fork)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t child = inline1(__NR_fork, 0);

	if (!child)
		_exit(!new_ring_works());
	EXPECT_TRUE(exited_well(child));
	child = inline2(__NR_clone3, &args, sizeof(args));
	if (!child)
		_exit(!new_ring_works());
	EXPECT_TRUE(exited_well(child));
	child = inline1(__NR_vfork, 0);
	if (!child)
		_exit(!new_ring_works());
	EXPECT_TRUE(exited_well(child));
	child = syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (!child)
		_exit(!new_ring_works());
	EXPECT_TRUE(exited_well(child));
}

TEST_F(preload, ring_works_after_exec)
{
	static char *const argv[] = { (char *)"/proc/self/exe", NULL };
	sigset_t all;
	pid_t child;

	setenv(CHILD, "1", 1);
	sigfillset(&all);
	child = fork();
	if (!child) {
		sigprocmask(SIG_SETMASK, &all, NULL);
		execv(argv[0], argv);
		_exit(1);
	}
	EXPECT_TRUE(exited_well(child));
	child = vfork();
	if (!child) {
		execv(argv[0], argv);
		_exit(1);
	}
	EXPECT_TRUE(exited_well(child));
	ASSERT_EQ(0, posix_spawn(&child, argv[0], NULL, NULL, argv, environ));
	EXPECT_TRUE(exited_well(child));
}

/* Other system calls */

TEST_F(preload, other_inline_calls_are_unchanged)
{
	char data[4] = "";
	int fds[2];
	long map;

	/* A number without a system call. */
	syscall(9999);
	EXPECT_EQ(-errno, inline1(9999, 0));
	errno = 1234;
	EXPECT_EQ(getpid(), inline1(__NR_getpid, 0));
	EXPECT_EQ(-EBADF, inline1(__NR_close, -1));
	EXPECT_EQ(1234, errno);
	ASSERT_EQ(0, inline1(__NR_pipe, fds));
	EXPECT_EQ(3, inline3(__NR_write, fds[1], "abc", 3));
	EXPECT_EQ(3, inline3(__NR_read, fds[0], data, 3));
	EXPECT_STREQ("abc", data);
	/* A call with six arguments. */
	map = inline_call(__NR_mmap, 0, 4096, PROT_READ, MAP_SHARED, self->ring.fd,
			  IORING_OFF_SQ_RING);
	ASSERT_LT(4096, map);
	EXPECT_EQ(*(int *)(map + self->ring.p.sq_off.ring_entries), self->ring.p.sq_entries);
	EXPECT_EQ(0, inline2(__NR_munmap, map, 4096));
}

TEST_F(preload, inline_calls_keep_the_registers)
{
	long in[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, out[8] = {}, sse = 0;

	asm volatile("mov	0(%[in]), %%rdi\n"
		     "	mov	8(%[in]), %%rsi\n"
		     "	mov	16(%[in]), %%rdx\n"
		     "	mov	24(%[in]), %%r8\n"
		     "	mov	32(%[in]), %%r9\n"
		     "	mov	40(%[in]), %%r10\n"
		     "	mov	48(%[in]), %%r12\n"
		     "	mov	56(%[in]), %%r13\n"
		     "	movq	%%r13, %%xmm7\n"
		     "	mov	$39, %%eax\n"
		     "	syscall\n"
		     "	mov	%%rdi, 0(%[out])\n"
		     "	mov	%%rsi, 8(%[out])\n"
		     "	mov	%%rdx, 16(%[out])\n"
		     "	mov	%%r8, 24(%[out])\n"
		     "	mov	%%r9, 32(%[out])\n"
		     "	mov	%%r10, 40(%[out])\n"
		     "	mov	%%r12, 48(%[out])\n"
		     "	mov	%%r13, 56(%[out])\n"
		     "	movq	%%xmm7, %[sse]\n"
		     : [sse] "=m"(sse)
		     : [in] "b"(in), [out] "r"((long *)out)
		     : "rax", "rcx", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
		       "xmm7", "memory");
	EXPECT_EQ(0, memcmp(in, out, sizeof(in)));
	EXPECT_EQ(8, sse);
}

/* Signals */

static atomic_int handled, handled_well;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
	handled_well += new_ring_works();
}

static void handle(int sig, int flags, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	sigfillset(&act.sa_mask);
	sigaction(sig, &act, NULL);
}

/* Sends SIGUSR1 to a thread that sleeps in a read, and a byte when it sleeps there again. */
struct sender {
	pthread_t to;
	pid_t tid;
	bool restarts;
	int pipe[2];
};

static void *send_signal(void *data)
{
	struct sender *sender = data;

	if (until_asleep_in(sender->tid, __NR_read))
		pthread_kill(sender->to, SIGUSR1);
	while (!handled)
		sleep_ms(1);
	if (sender->restarts)
		until_asleep_in(sender->tid, __NR_read);
	inline3(__NR_write, sender->pipe[1], "x", 1);
	return NULL;
}

static long interrupted_read(int flags)
{
	struct sender sender = {
		.to = pthread_self(), .tid = gettid(), .restarts = flags & SA_RESTART,
	};
	pthread_t thread;
	char byte;
	long ret;

	handled = 0;
	handled_well = 0;
	handle(SIGUSR1, flags, on_signal);
	if (pipe(sender.pipe) || pthread_create(&thread, NULL, send_signal, &sender))
		return -ENOMEM;
	ret = inline3(__NR_read, sender.pipe[0], &byte, 1);
	pthread_join(thread, NULL);
	return ret;
}

TEST_F(preload, signal_interrupts_an_inline_call)
{
	EXPECT_EQ(-EINTR, interrupted_read(0));
	EXPECT_EQ(1, handled);
	EXPECT_EQ(1, handled_well);
}

TEST_F(preload, interrupted_call_is_restarted_with_sa_restart)
{
	EXPECT_EQ(1, interrupted_read(SA_RESTART));
	EXPECT_EQ(1, handled);
	EXPECT_EQ(1, handled_well);
}

static sigjmp_buf back;

static void jump_back(int sig)
{
	siglongjmp(back, sig);
}

TEST_F(preload, longjmp_leaves_an_inline_call)
{
	char byte;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	handle(SIGALRM, 0, jump_back);
	if (!sigsetjmp(back, 1)) {
		ualarm(100000, 0);
		inline3(__NR_read, fds[0], &byte, 1);
		EXPECT_TRUE(false);
	}
	EXPECT_TRUE(works(&self->ring));
}

TEST_F(preload, ring_works_with_all_signals_blocked)
{
	unsigned long all = ~0UL;
	sigset_t set;

	sigfillset(&set);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	EXPECT_TRUE(works(&self->ring));
	ASSERT_EQ(0, pthread_sigmask(SIG_SETMASK, &set, NULL));
	EXPECT_TRUE(works(&self->ring));
	ASSERT_EQ(0, inline4(__NR_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8));
	EXPECT_TRUE(works(&self->ring));
}

TEST_F(preload, inline_signal_mask_stays)
{
	unsigned long usr1 = 1UL << (SIGUSR1 - 1), old = ~0UL;
	sigset_t now;

	ASSERT_EQ(0, inline4(__NR_rt_sigprocmask, SIG_BLOCK, &usr1, &old, 8));
	EXPECT_EQ(0, old & usr1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	EXPECT_EQ(1, sigismember(&now, SIGUSR1));
	ASSERT_EQ(0, inline4(__NR_rt_sigprocmask, SIG_UNBLOCK, &usr1, &old, 8));
	EXPECT_EQ(usr1, old & usr1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	EXPECT_EQ(0, sigismember(&now, SIGUSR1));
	EXPECT_EQ(-EFAULT, inline4(__NR_rt_sigprocmask, SIG_BLOCK, bad_pointer(), NULL, 8));
	EXPECT_EQ(-EINVAL, inline4(__NR_rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 4));
}

/* A handler may use a ring when it runs in a wait whose mask blocks all other signals. */
TEST_F(preload, waits_apply_their_signal_mask)
{
	struct timespec second = { .tv_sec = 1 };
	sigset_t usr1, others;
	int epfd = epoll_create1(0);
	struct epoll_event event;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigfillset(&others);
	sigdelset(&others, SIGUSR1);
	handle(SIGUSR1, 0, on_signal);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &usr1, NULL));

	raise(SIGUSR1);
	EXPECT_EQ(-1, sigsuspend(&others));
	EXPECT_EQ(1, handled_well);
	raise(SIGUSR1);
	EXPECT_EQ(-1, ppoll(NULL, 0, &second, &others));
	EXPECT_EQ(2, handled_well);
	raise(SIGUSR1);
	EXPECT_EQ(-1, pselect(0, NULL, NULL, NULL, &second, &others));
	EXPECT_EQ(3, handled_well);
	raise(SIGUSR1);
	EXPECT_EQ(-1, epoll_pwait(epfd, &event, 1, 1000, &others));
	EXPECT_EQ(4, handled_well);
	raise(SIGUSR1);
	EXPECT_EQ(-EINTR, inline_call(__NR_ppoll, 0, 0, (long)&second, (long)&others, 8, 0));
	EXPECT_EQ(5, handled_well);
	raise(SIGUSR1);
	EXPECT_EQ(-EINTR, inline2(__NR_rt_sigsuspend, &others, 8));
	EXPECT_EQ(6, handled_well);
	raise(SIGUSR1);
	EXPECT_EQ(-EINTR, enter(&self->ring, 0, 1, &others));
	EXPECT_EQ(7, handled_well);
	/* The old mask is restored. */
	EXPECT_EQ(0, sigprocmask(SIG_BLOCK, NULL, &others));
	EXPECT_EQ(1, sigismember(&others, SIGUSR1));
	EXPECT_EQ(0, sigismember(&others, SIGTERM));
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	(void)context;
	handled += sig == SIGSYS && info->si_pid == getpid();
}

TEST_F(preload, program_handles_its_own_sigsys)
{
	struct sigaction act = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO }, old;
	int status;
	pid_t child;

	ASSERT_EQ(0, sigaction(SIGSYS, &act, &old));
	EXPECT_TRUE(old.sa_handler == SIG_DFL);
	EXPECT_TRUE(works(&self->ring));
	raise(SIGSYS);
	EXPECT_EQ(1, handled);
	ASSERT_EQ(0, sigaction(SIGSYS, NULL, &old));
	EXPECT_TRUE(old.sa_sigaction == on_sigsys);

	EXPECT_TRUE(signal(SIGSYS, SIG_IGN) != SIG_DFL);
	raise(SIGSYS);
	EXPECT_TRUE(works(&self->ring));
	signal(SIGSYS, SIG_DFL);
	child = fork();
	if (!child) {
		raise(SIGSYS);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSYS, WTERMSIG(status));
}

/* The return from a handler that was installed without libc. */
asm(".text\n"
	"own_restorer:\n"
	"	mov	$15, %eax\n"
	"	syscall\n");

TEST_F(preload, inline_sigaction_works)
{
	struct {
		void (*handler)(int sig);
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} act = { on_signal, 0x04000000, NULL, ~0UL }, old = {};

	asm("lea own_restorer(%%rip), %0" : "=r"(act.restorer));
	ASSERT_EQ(0, inline4(__NR_rt_sigaction, SIGUSR1, &act, NULL, 8));
	raise(SIGUSR1);
	EXPECT_EQ(1, handled_well);
	ASSERT_EQ(0, inline4(__NR_rt_sigaction, SIGUSR1, NULL, &old, 8));
	EXPECT_TRUE(old.handler == on_signal);
	EXPECT_EQ(-EFAULT, inline4(__NR_rt_sigaction, SIGUSR1, bad_pointer(), NULL, 8));
	EXPECT_TRUE(works(&self->ring));
}

TEST_F(preload, inline_sigaltstack_works)
{
	static char stack[65536];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) }, now;

	ASSERT_EQ(0, inline2(__NR_sigaltstack, &alt, NULL));
	ASSERT_EQ(0, sigaltstack(NULL, &now));
	EXPECT_TRUE(now.ss_sp == stack);
	handle(SIGUSR1, SA_ONSTACK, on_signal);
	raise(SIGUSR1);
	EXPECT_EQ(1, handled_well);
}

TEST_HARNESS_MAIN
