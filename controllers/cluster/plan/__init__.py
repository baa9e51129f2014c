"""Turns what was observed into the one next step.

Pure: no I/O, no clock, no chance.  The policy of the operator is the tuple below, read from top to
bottom; the first rule that speaks wins.  `plan` feeds status, events, metrics and the command line
with one value.  Called once per reconcile, and by anyone who wants to know what would happen.
"""

from collections.abc import Callable, Iterable

from controllers.cluster.observed import Observed
from controllers.cluster.plan import (
    admission,
    auth,
    bootstrap,
    certificates,
    deletion,
    downgrade,
    edits,
    epochs,
    growing,
    health,
    joining,
    leftovers,
    objects,
    prepare,
    probe,
    repair,
    resize,
    restoring,
    roll,
    rotation,
    saving,
    scale,
    switching,
    tls_switching,
    upgrade,
    volumes,
)
from controllers.cluster.plan.steps import Action, Plan, RecordMembership, Wait

Rule = Callable[[Observed], Action | Wait | None]


def grow_on(observed: Observed) -> RecordMembership | None:
    """A cluster that grows on does not wait for kubelet to call its newest voter ready: where that
    would bring the decision on the next member and nothing else, it is taken on etcd's own word,
    and recorded together with the end of this join.
    """
    ready = growing.once_ready(observed)
    if ready is None:
        return None
    # What the claims say of the membership can wait until the next member starts.
    then = _first(ready, (rule for rule in RULES if rule is not leftovers.annotate_claims))
    if then.rule == scale.grow.__name__ and isinstance(then.step, RecordMembership):
        return then.step
    return None


RULES: tuple[Rule, ...] = (
    # The end of a cluster comes before everything else, a pause before any other write.
    deletion.delete_orphans,
    deletion.let_go,
    admission.paused,
    saving.save_before_deletion,
    deletion.give_up,
    saving.keep_unsaved,
    deletion.delete_pods,
    deletion.delete_claims,
    deletion.finish,
    # Nothing is made from a spec that is refused, under names that are not ours, or over old data.
    admission.refuse_first_spec,
    admission.wait_for_names,
    deletion.keep_finalizer,
    bootstrap.sleep_unborn,
    leftovers.adopt,
    leftovers.wait_for_lost_status,
    leftovers.discard,
    leftovers.refuse,
    # What begins from a backup has its first volume filled before anything else is made.
    restoring.wait_for_source,
    restoring.prepare_seed,
    bootstrap.accept_spec,
    restoring.wait_for_auth,
    certificates.record_owners,
    saving.save_before_sleep,
    edits.accept_live,
    edits.accept_template,
    edits.accept_restart,
    edits.accept_operator_changes,
    volumes.accept_volumes,
    upgrade.accept_image_at_once,
    upgrade.redirect,
    downgrade.stay_newer,
    # Which data the members are to have comes before any care for those that they have.
    epochs.take_restore_request,
    epochs.give_up_restore,
    epochs.clear_failed_restore,
    epochs.prepare_epoch,
    epochs.begin_switch,
    epochs.put_back_old_data,
    switching.stop_members,
    switching.switch_epoch,
    switching.drop_former_members,
    switching.complete_switch,
    epochs.discard_old_data,
    # From here on there is a recorded cluster: remember what happened, then make it so.
    bootstrap.record_started,
    joining.track_joining,
    joining.drop_request,
    rotation.drop_rotation_request,
    certificates.make_authorities,
    certificates.record_authorities,
    rotation.forget_lost_authority,
    certificates.issue_leaves,
    certificates.copy_certificates,
    certificates.order_certificates,
    # A next authority that can't be written must not keep certificates from being renewed.
    rotation.make_next_authority,
    certificates.wait_for_certificates,
    objects.wait_for_orphans,
    objects.correct_drift,
    objects.drop_unwanted,
    volumes.resize_claims,
    volumes.release_stateful_set,
    volumes.wait_for_release,
    bootstrap.restart_on_corrected_spec,
    admission.refuse_edit_too_early,
    # Membership changes only on etcd's own word: without an answer there is nothing but to wait.
    health.wait_for_cluster_id,
    admission.refuse_edit_asleep,
    scale.sleep,
    # Who is down anyway comes back on the newest template: it may be what helps.
    roll.restart_down,
    health.wait_for_access,
    health.wait_for_quorum,
    tls_switching.name_members,
    # Who may do what touches no member and waits for none.
    auth.record_auth,
    auth.switch_auth_off,
    auth.change_auth,
    auth.switch_auth_on,
    # Whoever is half-way in comes first, then who was lost, then versions
    # and rolls, then the size.
    joining.withdraw,
    joining.remove_old,
    joining.disarm_gone,
    repair.remove_lost,
    downgrade.retreat,
    downgrade.cancel_for_joining,
    joining.add_learner,
    joining.free_volume,
    repair.revive_pending,
    leftovers.annotate_before_vote,
    joining.refresh_files,
    joining.promote,
    joining.nudge,
    grow_on,
    joining.wait_for_joining,
    repair.replace,
    resize.resize,
    # One step of a change of version is prepared, taken and completed; in between members roll.
    upgrade.begin,
    probe.drop_probe,
    probe.make_probe,
    saving.save_before_version,
    prepare.give_up_comparing,
    prepare.compare_before,
    prepare.leave_old_entries_behind,
    prepare.watch_data_fit,
    prepare.enable_downgrade,
    prepare.take_version,
    upgrade.hold,
    roll.restart_next,
    upgrade.complete,
    downgrade.cancel_downgrade,
    leftovers.annotate_claims,
    scale.discard_leftovers,
    scale.shrink,
    repair.wait_to_replace,
    roll.wait_for_turn,
    upgrade.wait_for_version,
    # Between rolls a switch of TLS, or an authority's rotation, comes to its next phase; while it
    # waits, others go on.
    tls_switching.switch,
    rotation.begin_rotation,
    rotation.rotate,
    scale.wait_to_shrink,
    volumes.migrate,
    scale.grow,
    # Notes on pods that only make kubelet look sooner: where they are refused, nothing else waits.
    bootstrap.close_files,
    rotation.announce_certificate,
    volumes.wait_to_migrate,
    repair.wait_to_honour,
    repair.wait_for_template,
    # What is left is to say why the cluster is not as wished.
    admission.refuse_edit,
    auth.wait_for_credentials,
    probe.refuse_image,
    saving.wait_for_backup,
    saving.wait_to_sleep,
    edits.wait_for_window,
    volumes.wait_for_size,
    health.wait_for_members,
    epochs.wait_for_next_epoch,
    tls_switching.wait_for_switch,
    rotation.wait_for_rotation,
    health.settled,
)


def plan(observed: Observed) -> Plan:
    """The next step.  Total: the last rule always speaks."""
    return _first(observed, RULES)


def _first(observed: Observed, rules: Iterable[Rule]) -> Plan:
    for rule in rules:
        step = rule(observed)
        if step is not None:
            return Plan(rule=rule.__name__, step=step)
    raise AssertionError("the last rule always speaks")


__all__ = ["RULES", "Plan", "plan"]
