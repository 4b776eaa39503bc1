//! More users than one: what each may do is decided by the servers.

use crate::mounted::{Mounted, cluster};

/// Shell words to run what follows as another user, without groups, and with one.
const AS: &str = "
one='setpriv --reuid 1 --regid 1 --clear-groups'
two='setpriv --reuid 2 --regid 2 --clear-groups'
member='setpriv --reuid 9 --regid 9 --groups 60,1'
no() { if \"$@\" 2>/dev/null; then echo \"permitted: $*\"; exit 1; fi; }
";

fn run(test: &str, script: &str) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: {test}: only root can be others");
        return;
    }
    let Some(cluster) = cluster(test, &["setpriv"]) else { return };
    let mount = Mounted::start(&cluster, "");
    mount.sh(&format!("{AS}{script}"));
    mount.leave();
    cluster.down();
}

#[test]
fn mode_bits_hold_for_owner_group_and_others() {
    run(
        "mode_bits_hold_for_owner_group_and_others",
        "install -d -o 1 -g 60 -m 0750 d
         install -o 1 -g 60 -m 0640 /dev/null d/f
         $one sh -c 'echo text > d/f'; $one cat d/f
         $member cat d/f; $member ls d; no $member sh -c 'echo > d/f'; no $member touch d/new
         no $two ls d; no $two cat d/f; no $two sh -c 'cd d'
         no $two chmod 777 d; no $two mv d e; no $one mv d e; no $one chown 2 d/f
         $one chgrp 1 d/f; no $one chgrp 60 d/f
         test $(stat -c %u:%g d/f) = 1:1",
    );
}

#[test]
fn programs_run_by_their_own_bits() {
    run(
        "programs_run_by_their_own_bits",
        "cp /bin/true t; chmod 0711 t; $one ./t; no $one cat t
         chmod 0744 t; no $one ./t; $one cat t > /dev/null
         chmod 0600 t; no ./t; no $one ./t; chmod 0700 t; ./t",
    );
}

#[test]
fn sticky_and_set_group_id_directories() {
    run(
        "sticky_and_set_group_id_directories",
        "mkdir -m 1777 s; $one touch s/mine; no $two rm -f s/mine; no $two mv s/mine s/yours
         $one rm s/mine
         mkdir g; chgrp 60 g; chmod 2777 g; $one touch g/f; $one mkdir g/d
         test $(stat -c %u:%g g/f) = 1:60; test $(stat -c %u:%g:%A g/d | cut -c -12) = 1:60:drwxr-s",
    );
}

#[test]
fn writing_takes_set_user_id_away() {
    run(
        "writing_takes_set_user_id_away",
        "echo > f; chown 1:60 f
         for how in 'echo x >> f' 'echo x 1<> f' ': > f'; do
           chmod 6777 f; $two sh -c \"$how\"; test $(stat -c %a f) = 777
         done
         chmod 6777 f; chown 2 f; test $(stat -c %a f) = 777
         chmod 4777 f; $two touch f; test $(stat -c %a f) = 4777",
    );
}

/// Groups are a thread's, and are looked up where it waits in a call.
#[test]
fn a_directory_is_listed_when_the_thread_is_gone_that_opened_it() {
    run(
        "a_directory_is_listed_when_the_thread_is_gone_that_opened_it",
        "install -d -o 1 -g 60 -m 0750 d; install -o 1 -g 60 /dev/null d/f
         python3 -c \"
import os, threading
os.setgroups([60])
os.setgid(9)
os.setuid(9)
opened = []
def work():
    opened.append((os.open('d', os.O_RDONLY), threading.get_native_id()))
opener = threading.Thread(target=work)
opener.start()
opener.join()
directory, thread = opened[0]
while os.path.exists(f'/proc/self/task/{thread}'):
    pass
print(os.listdir(directory))
\" > said
         grep -q \"'f'\" said",
    );
}

#[test]
fn an_open_file_needs_no_permission_again() {
    run(
        "an_open_file_needs_no_permission_again",
        "mkdir -m 777 d
         $one sh -c 'exec 3<>d/f; chmod 0 d/f; echo text >&3; truncate -s 2 /dev/fd/3 2>/dev/null || :
                     python3 -c \"import os; os.ftruncate(3, 3); print(os.pread(3, 9, 0))\"' > said
         grep -q \"b'tex'\" said",
    );
}
