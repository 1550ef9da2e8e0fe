// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates: how I/O gets at a layout, and how a layout is swapped under it.
 *
 * An I/O enters the current gate, which costs a per-CPU increment, and leaves
 * it at its end. A swap publishes a new gate, so that whoever enters from then
 * on gets the new layout, and kills the old gate, so that the last I/O in it
 * is noticed. If that doesn't come before the deadline, the old gate is brought
 * back to life and published again, and the new one is abandoned: killed, and
 * freed when its own I/O has ended.
 *
 * A gate is always published before the one before it is killed, and brought
 * to life before it is published. So whoever fails to enter a gate finds
 * another one in its place, and never has to wait for that.
 *
 * Where both layouts can't be used at the same time (bytes are written and the
 * instance changes), the new gate is held until the old one has drained: I/O
 * that comes waits, and where the swap is abandoned none was done through the
 * new gate. The same wait serves layouts without segments, which block I/O
 * until the next one comes.
 *
 * Waiting is on the address of a member, not on a wait queue in the object:
 * whoever drops the last reference may wake up waiters after the object is
 * gone.
 */
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "layout.h"
#include "trace.h"

static struct kmem_cache *orchfs_oi_cache;

/*
 * One open inode for each CPU that nobody uses, its gate alive. Making a
 * per-CPU counter costs more than all else in an open.
 */
static DEFINE_PER_CPU(struct orchfs_open_inode *, orchfs_oi_spare);

static void gate_trace(const struct orchfs_open_inode *oi,
		       enum orchfs_trace_layout what, u64 generation, int ret)
{
	if (oi->inode)
		trace_orchfs_layout(what, oi->inode, generation, ret);
}

static void gate_free_rcu(struct rcu_head *rcu);

/* Empty and killed: free it after a grace period, as others may look at it. */
static void gate_retire(struct orchfs_gate *gate)
{
	call_rcu(&gate->rcu, gate_free_rcu);
}

/* Runs under RCU, in any context; waiters may have retired the gate already. */
static void gate_release(struct percpu_ref *ref)
{
	struct orchfs_gate *gate = container_of(ref, struct orchfs_gate, io);

	if (atomic_xchg(&gate->end, ORCHFS_GATE_EMPTY) == ORCHFS_GATE_ORPHAN)
		gate_retire(gate);
	/* The exchange was a full barrier. */
	wake_up_var(ref);
}

/* Nobody will wait for this killed gate: its last I/O frees it. */
static void gate_orphan(struct orchfs_gate *gate)
{
	if (atomic_xchg(&gate->end, ORCHFS_GATE_ORPHAN) == ORCHFS_GATE_EMPTY)
		gate_retire(gate);
}

static struct orchfs_gate *gate_alloc(void)
{
	struct orchfs_gate *gate;

	gate = kzalloc(sizeof(*gate), GFP_KERNEL_ACCOUNT);
	if (!gate)
		return NULL;
	if (percpu_ref_init(&gate->io, gate_release, PERCPU_REF_ALLOW_REINIT,
			    GFP_KERNEL_ACCOUNT)) {
		kfree(gate);
		return NULL;
	}
	return gate;
}

/* Nobody can have this gate, nor a reference of its counter. */
static void gate_free(struct orchfs_gate *gate)
{
	struct orchfs_layout *lay = rcu_dereference_protected(gate->layout, 1);

	percpu_ref_exit(&gate->io);
	if (lay)
		orchfs_layout_put(lay);
	kfree(gate);
}

static void gate_free_rcu(struct rcu_head *rcu)
{
	gate_free(container_of(rcu, struct orchfs_gate, rcu));
}

int __init orchfs_gate_init(void)
{
	orchfs_oi_cache = KMEM_CACHE(orchfs_open_inode, SLAB_ACCOUNT);
	return orchfs_oi_cache ? 0 : -ENOMEM;
}

static void oi_destroy(struct orchfs_open_inode *oi)
{
	gate_retire(rcu_dereference_protected(oi->gate, 1));
	mutex_destroy(&oi->swap_lock);
	kmem_cache_free(orchfs_oi_cache, oi);
}

static void oi_trim(void *unused)
{
	struct orchfs_open_inode *oi = this_cpu_xchg(orchfs_oi_spare, NULL);

	if (oi)
		oi_destroy(oi);
}

/**
 * orchfs_gate_trim() - free what is kept for the next open
 *
 * Done when rcu_barrier() returns.
 */
void orchfs_gate_trim(void)
{
	on_each_cpu(oi_trim, NULL, 1);
}

void orchfs_gate_exit(void)
{
	int cpu;

	/* CPUs may have gone since they put something aside. */
	for_each_possible_cpu(cpu) {
		struct orchfs_open_inode *oi = per_cpu(orchfs_oi_spare, cpu);

		if (oi)
			oi_destroy(oi);
	}
	rcu_barrier();
	kmem_cache_destroy(orchfs_oi_cache);
}

/**
 * orchfs_oi_alloc() - an open inode that belongs to no inode yet
 *
 * Return: free it with orchfs_oi_free(), or NULL.
 */
struct orchfs_open_inode *orchfs_oi_alloc(void)
{
	struct orchfs_open_inode *oi;
	struct orchfs_gate *gate;

	oi = this_cpu_xchg(orchfs_oi_spare, NULL);
	if (oi)
		return oi;
	gate = gate_alloc();
	if (!gate)
		return NULL;
	oi = kmem_cache_zalloc(orchfs_oi_cache, GFP_KERNEL);
	if (!oi) {
		gate_free(gate);
		return NULL;
	}
	mutex_init(&oi->swap_lock);
	spin_lock_init(&oi->files_lock);
	INIT_LIST_HEAD(&oi->files);
	RCU_INIT_POINTER(oi->gate, gate);
	return oi;
}

/**
 * orchfs_oi_start() - give an open inode its first layout
 * @oi: from orchfs_oi_alloc(), not seen by others yet
 * @inode: it belongs to; may be NULL
 * @lay: a reference of its own is taken
 *
 * Doesn't sleep.
 */
void orchfs_oi_start(struct orchfs_open_inode *oi, struct inode *inode,
		     struct orchfs_layout *lay)
{
	struct orchfs_gate *gate = rcu_dereference_protected(oi->gate, 1);

	oi->inode = inode;
	RCU_INIT_POINTER(gate->layout, orchfs_layout_get(lay));
}

/**
 * orchfs_oi_free() - nobody uses the inode any more
 * @oi: no I/O is in flight and none can start; NULL does nothing
 *
 * Doesn't wait.
 */
void orchfs_oi_free(struct orchfs_open_inode *oi)
{
	struct orchfs_gate *gate;
	struct orchfs_layout *lay;

	if (!oi)
		return;
	WARN_ON_ONCE(!list_empty(&oi->files));
	/* It holds no I/O, but its counter may be on its way to zero still. */
	if (oi->abandoned)
		gate_orphan(oi->abandoned);
	oi->abandoned = NULL;

	gate = rcu_dereference_protected(oi->gate, 1);
	lay = rcu_dereference_protected(gate->layout, 1);
	RCU_INIT_POINTER(gate->layout, NULL);
	if (lay)
		orchfs_layout_put(lay);

	oi->inode = NULL;
	oi->users = 0;
	oi->opens = 0;
	oi->mode = (struct orchfs_iomode_state){};
	oi->written = false;
	/* The references of its I/O add up to nothing: good for the next. */
	oi = this_cpu_xchg(orchfs_oi_spare, oi);
	if (oi)
		oi_destroy(oi);
}

/**
 * orchfs_gate_enter() - begin an I/O
 * @oi: kept alive by the caller
 * @lay: the layout that counts, with a reference
 *
 * The caller looks at the layout and at orchfs_gate.held: where it is blocked
 * or held, it leaves again and calls orchfs_gate_wait().
 *
 * Return: the gate, to be left with orchfs_gate_leave().
 */
struct orchfs_gate *orchfs_gate_enter(struct orchfs_open_inode *oi,
				      struct orchfs_layout **lay)
{
	struct orchfs_gate *gate;
	struct orchfs_layout *l;

	rcu_read_lock();
	do {
		gate = rcu_dereference(oi->gate);
	} while (!percpu_ref_tryget_live_rcu(&gate->io));
	do {
		l = rcu_dereference(gate->layout);
	} while (!orchfs_layout_tryget(l));
	rcu_read_unlock();
	*lay = l;
	return gate;
}

static bool gate_closed(struct orchfs_open_inode *oi)
{
	struct orchfs_gate *gate;
	bool closed;

	rcu_read_lock();
	gate = rcu_dereference(oi->gate);
	closed = READ_ONCE(gate->held) ||
		 orchfs_layout_blocked(rcu_dereference(gate->layout));
	rcu_read_unlock();
	return closed;
}

/**
 * orchfs_gate_wait() - wait until I/O can go on
 * @oi: kept alive by the caller, who is in no gate
 *
 * Return: 0, or -EINTR when the task was killed.
 */
int orchfs_gate_wait(struct orchfs_open_inode *oi)
{
	if (wait_var_event_killable(&oi->gate, !gate_closed(oi)))
		return -EINTR;
	return 0;
}

static bool gate_unsettled(struct orchfs_open_inode *oi)
{
	bool unsettled;

	rcu_read_lock();
	unsettled = READ_ONCE(rcu_dereference(oi->gate)->unsettled);
	rcu_read_unlock();
	return unsettled;
}

/**
 * orchfs_gate_wait_settled() - wait until it is known which instance stays
 * @oi: kept alive by the caller, who is in no gate
 *
 * Return: 0, or -EINTR when the task was killed.
 */
int orchfs_gate_wait_settled(struct orchfs_open_inode *oi)
{
	if (wait_var_event_killable(&oi->gate, !gate_unsettled(oi)))
		return -EINTR;
	return 0;
}

/**
 * orchfs_gate_layout() - the layout that counts now
 * @oi: kept alive by the caller
 *
 * Return: a reference of it.
 */
struct orchfs_layout *orchfs_gate_layout(struct orchfs_open_inode *oi)
{
	struct orchfs_layout *lay;

	rcu_read_lock();
	do {
		lay = rcu_dereference(rcu_dereference(oi->gate)->layout);
	} while (!orchfs_layout_tryget(lay));
	rcu_read_unlock();
	return lay;
}

static void gate_wake(struct orchfs_open_inode *oi)
{
	/* Pairs with the barrier of prepare_to_wait. */
	smp_mb();
	wake_up_var(&oi->gate);
}

static struct orchfs_gate *gate_current(struct orchfs_open_inode *oi)
{
	return rcu_dereference_protected(oi->gate,
					 lockdep_is_held(&oi->swap_lock));
}

static struct orchfs_layout *gate_layout_locked(struct orchfs_open_inode *oi,
						struct orchfs_gate *gate)
{
	return rcu_dereference_protected(gate->layout,
					 lockdep_is_held(&oi->swap_lock));
}

/* Wait until a killed gate is empty; false when the deadline came first. */
static bool gate_drained(struct orchfs_gate *gate, unsigned long deadline)
{
	long left = (long)(deadline - jiffies);

	return wait_var_event_timeout(&gate->io, percpu_ref_is_zero(&gate->io),
				      max(left, 0L));
}

static bool swap_needs_hold(const struct orchfs_layout *old,
			    const struct orchfs_layout *new)
{
	/* A writer that is refused must find the swap at its end. */
	if (old->writable && !new->writable)
		return true;
	return old->instance != new->instance && new->writable;
}

/**
 * orchfs_swap_begin() - publish a new layout
 * @oi: kept alive by the caller, who holds swap_lock
 * @lay: the new layout; a reference of its own is taken
 * @deadline: jiffies until which an earlier swap's abandoned gate may keep
 *	this one waiting
 * @swap: filled in
 *
 * After 0 the caller goes on with orchfs_swap_drain(), then commits or
 * abandons. On failure nothing has changed.
 *
 * Return: 0; -ESTALE when the generation isn't higher than that of the
 * current layout; -ETIMEDOUT; -ENOMEM.
 */
int orchfs_swap_begin(struct orchfs_open_inode *oi, struct orchfs_layout *lay,
		      unsigned long deadline, struct orchfs_swap *swap)
{
	struct orchfs_gate *old = gate_current(oi);
	struct orchfs_layout *old_lay = gate_layout_locked(oi, old);
	struct orchfs_gate *gate;

	lockdep_assert_held(&oi->swap_lock);

	if (lay->generation <= old_lay->generation)
		return -ESTALE;
	if (oi->abandoned) {
		if (!gate_drained(oi->abandoned, deadline))
			return -ETIMEDOUT;
		gate_retire(oi->abandoned);
		oi->abandoned = NULL;
	}
	gate = gate_alloc();
	if (!gate)
		return -ENOMEM;
	RCU_INIT_POINTER(gate->layout, orchfs_layout_get(lay));
	gate->held = swap_needs_hold(old_lay, lay);
	gate->unsettled = old_lay->instance != lay->instance;
	swap->old = old;
	swap->new = gate;
	rcu_assign_pointer(oi->gate, gate);
	gate_wake(oi);
	percpu_ref_kill(&old->io);
	gate_trace(oi, ORCHFS_TRACE_LAYOUT_PUBLISH, lay->generation, 0);
	return 0;
}

/**
 * orchfs_swap_drain() - wait for the I/O that uses the old layout
 * @oi: as for orchfs_swap_begin()
 * @swap: from orchfs_swap_begin()
 * @deadline: jiffies
 *
 * Return: 0 or -ETIMEDOUT.
 */
int orchfs_swap_drain(struct orchfs_open_inode *oi, struct orchfs_swap *swap,
		      unsigned long deadline)
{
	u64 generation = gate_layout_locked(oi, swap->old)->generation;
	int ret;

	lockdep_assert_held(&oi->swap_lock);

	gate_trace(oi, ORCHFS_TRACE_LAYOUT_DRAIN, generation, 0);
	ret = gate_drained(swap->old, deadline) ? 0 : -ETIMEDOUT;
	gate_trace(oi, ORCHFS_TRACE_LAYOUT_DRAINED, generation, ret);
	return ret;
}

/**
 * orchfs_swap_commit() - the new layout stays
 * @oi: as for orchfs_swap_begin()
 * @swap: drained
 */
void orchfs_swap_commit(struct orchfs_open_inode *oi, struct orchfs_swap *swap)
{
	lockdep_assert_held(&oi->swap_lock);

	WRITE_ONCE(swap->new->held, false);
	WRITE_ONCE(swap->new->unsettled, false);
	gate_wake(oi);
	gate_retire(swap->old);
}

/**
 * orchfs_swap_abandon() - put the old layout back
 * @oi: as for orchfs_swap_begin()
 * @swap: drained or not
 */
void orchfs_swap_abandon(struct orchfs_open_inode *oi,
			 struct orchfs_swap *swap)
{
	u64 generation = gate_layout_locked(oi, swap->new)->generation;

	lockdep_assert_held(&oi->swap_lock);

	percpu_ref_resurrect(&swap->old->io);
	rcu_assign_pointer(oi->gate, swap->old);
	percpu_ref_kill(&swap->new->io);
	oi->abandoned = swap->new;
	gate_wake(oi);
	gate_trace(oi, ORCHFS_TRACE_LAYOUT_ABANDON, generation, 0);
}

/**
 * orchfs_gate_upgrade() - more rights to the same instance
 * @oi: kept alive by the caller, who holds swap_lock
 * @lay: of the current instance, at least as writable, of a higher generation;
 *	a reference of its own is taken
 *
 * I/O in flight goes on: what it does is right under both layouts.
 */
void orchfs_gate_upgrade(struct orchfs_open_inode *oi,
			 struct orchfs_layout *lay)
{
	struct orchfs_gate *gate = gate_current(oi);
	struct orchfs_layout *old = gate_layout_locked(oi, gate);

	lockdep_assert_held(&oi->swap_lock);

	rcu_assign_pointer(gate->layout, orchfs_layout_get(lay));
	orchfs_layout_put(old);
	gate_trace(oi, ORCHFS_TRACE_LAYOUT_PUBLISH, lay->generation, 0);
}
