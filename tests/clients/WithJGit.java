// A client that is built on JGit. The requests are those of decisions.py.

import static org.eclipse.jgit.lib.Constants.OBJ_BLOB;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Date;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TimeZone;
import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.internal.storage.file.FileRepository;
import org.eclipse.jgit.lib.CommitBuilder;
import org.eclipse.jgit.lib.FileMode;
import org.eclipse.jgit.lib.NullProgressMonitor;
import org.eclipse.jgit.lib.ObjectId;
import org.eclipse.jgit.lib.PersonIdent;
import org.eclipse.jgit.lib.Repository;
import org.eclipse.jgit.lib.TreeFormatter;
import org.eclipse.jgit.revwalk.RevCommit;
import org.eclipse.jgit.revwalk.RevSort;
import org.eclipse.jgit.revwalk.RevWalk;
import org.eclipse.jgit.transport.PushResult;
import org.eclipse.jgit.transport.RefSpec;
import org.eclipse.jgit.transport.RemoteRefUpdate;
import org.eclipse.jgit.transport.Transport;
import org.eclipse.jgit.transport.URIish;
import org.eclipse.jgit.treewalk.TreeWalk;

public class WithJGit {
    static final String LOGS = "refs/remotes/origin/spaces/";
    static final TimeZone UTC = TimeZone.getTimeZone("UTC");
    static final SplittableRandom RANDOM = new SplittableRandom();
    static PrintStream out;

    public static void main(String[] arguments) throws Exception {
        out = new PrintStream(System.out, true, "UTF-8");
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String request; (request = in.readLine()) != null; ) {
            var words = request.split("\t");
            try {
                switch (words[0]) {
                    case "fetch" -> fetch(new File(words[1]), words[2]);
                    case "read" -> read(new File(words[1]), words[2]);
                    case "build" -> build(new File(words[1]), words);
                    default -> push(new File(words[1]), words[2], words[3], words[4], words.length > 5);
                }
                out.println("= done");
            } catch (Exception error) {
                out.println(error + "\n= failed");
            }
        }
    }

    static void fetch(File place, String url) throws Exception {
        if (!place.exists()) Git.init().setBare(true).setDirectory(place).call().close();
        try (var git = Git.open(place)) {
            git.fetch().setRemote(url).setRefSpecs(new RefSpec("+refs/spaces/*:" + LOGS + "*")).call();
        }
        // JGit 4.11 searches packs that are younger than 2.5 s again and again for what is not there.
        for (var pack : new File(place, "objects/pack").listFiles()) pack.setLastModified(pack.lastModified() - 10_000);
    }

    static void read(File place, String space) throws Exception {
        try (var repository = new FileRepository(place); var walk = new RevWalk(repository)) {
            walk.markStart(walk.parseCommit(tip(repository, space)));
            walk.sort(RevSort.REVERSE);
            for (var commit : walk) {
                var parts = commit.getFullMessage().split("\n\n");
                var digest = "-";
                try (var file = TreeWalk.forPath(repository, "body", commit.getTree())) {
                    if (file != null) digest = sha256(repository.open(file.getObjectId(0)).getBytes());
                }
                out.println(String.join("\t", "" + seq(commit), commit.name(), commit.getAuthorIdent().getName(),
                        commit.getCommitterIdent().getName(), parts[0], parts[1], digest));
            }
        }
    }

    /** The words are: build DIR SPACE HOW ACTOR KIND NAME PAGE [FILE]. */
    static void build(File place, String[] words) throws Exception {
        String space = words[2], how = words[3], actor = words[4], kind = words[5], name = words[6], page = words[7];
        var now = Instant.now();
        try (var repository = new FileRepository(place); var inserter = repository.newObjectInserter();
                var walk = new RevWalk(repository)) {
            var tree = new TreeFormatter();
            String payload, rest;
            if (kind.equals("alias-set")) {
                payload = "{\"alias\":" + json(name) + ",\"target\":" + json(page) + "}";
                rest = quoted(name) + " -> " + quoted(page);
            } else {
                var content = Files.readAllBytes(new File(words[8]).toPath());
                tree.append("body", FileMode.REGULAR_FILE, inserter.insert(OBJ_BLOB, content));
                var digest = sha256(how.equals("attachment") ? new byte[0] : content);
                payload = "{\"base_rev\":null,\"body\":{\"bytes\":" + content.length + ",\"sha256\":\"" + digest
                        + "\"},\"overlay_id\":" + json(name) + ",\"target\":" + json(page) + "}";
                rest = quoted(name) + " on " + quoted(page) + " (" + content.length + " bytes)";
            }
            var at = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC).format(now);
            var line = "{\"actor\":" + json(actor) + ",\"at\":\"" + at + "\",\"id\":\"" + uuid7(now) + "\",\"payload\":"
                    + payload + ",\"space\":" + json(space) + ",\"type\":\"" + kind + "\",\"v\":1}";
            var tip = tip(repository, space);
            var seq = tip == null ? 0 : seq(walk.parseCommit(tip)) + 1;
            if (how.equals("seq")) seq++;
            var commit = new CommitBuilder();
            commit.setTreeId(inserter.insert(tree));
            if (tip != null) commit.setParentId(tip);
            commit.setAuthor(new PersonIdent(actor, "", Date.from(now), UTC));
            commit.setCommitter(new PersonIdent("jgit", "", Date.from(now), UTC));
            commit.setMessage(kind + ": " + rest + (how.equals("subject") ? "!" : "") + "\n\n" + line + "\n"
                    + (how.equals("intent") ? "" : "\nSeq: " + seq + "\n"));
            var oid = inserter.insert(commit);
            inserter.flush();
            out.println(oid.name());
        }
    }

    static void push(File place, String url, String commit, String ref, boolean force) throws Exception {
        try (var repository = new FileRepository(place);
                var transport = Transport.open(repository, new URIish(url))) {
            var update = new RemoteRefUpdate(repository, commit, ObjectId.fromString(commit), ref, force, null, null);
            PushResult result = transport.push(NullProgressMonitor.INSTANCE, List.of(update));
            out.print(result.getMessages());
            out.println("reported: " + update.getRemoteName() + " " + update.getStatus() + " " + update.getMessage());
            if (update.getStatus() != RemoteRefUpdate.Status.OK) throw new Exception("refused: " + update.getStatus());
        }
    }

    static ObjectId tip(Repository repository, String space) throws Exception {
        var ref = repository.exactRef(LOGS + spelled(space));
        return ref == null ? null : ref.getObjectId();
    }

    static int seq(RevCommit commit) {
        var trailers = commit.getFullMessage().split("\n\n")[2];
        return Integer.parseInt(trailers.split("\n")[0].substring("Seq: ".length()));
    }

    /** A space as refs have it (docs/format.md, section 4). */
    static String spelled(String space) {
        var raw = space.getBytes(StandardCharsets.UTF_8);
        var spelled = new StringBuilder();
        for (int i = 0; i < raw.length; i++) {
            boolean dot = raw[i] == '.' && i > 0 && i < raw.length - 1 && raw[i - 1] != '.'
                    && !new String(raw, i, raw.length - i, StandardCharsets.UTF_8).equals(".lock");
            boolean plain = dot || "abcdefghijklmnopqrstuvwxyz0123456789_-".indexOf(raw[i]) >= 0;
            spelled.append(plain ? "" + (char) raw[i] : String.format("%%%02X", raw[i]));
        }
        return spelled.toString();
    }

    /** A string as subjects have it (section 8). */
    static String quoted(String text) {
        if (text.indexOf(' ') < 0 && text.indexOf('"') < 0 && text.indexOf('\\') < 0) return text;
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    /** A string in canonical JSON (section 5). None that is written here has control characters. */
    static String json(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    static String uuid7(Instant now) {
        var digits = String.format("%012x7%03x%x%015x", now.toEpochMilli(), RANDOM.nextInt(1 << 12),
                8 + RANDOM.nextInt(4), RANDOM.nextLong() >>> 4);
        return digits.replaceFirst("(.{8})(.{4})(.{4})(.{4})", "$1-$2-$3-$4-");
    }

    static String sha256(byte[] content) throws Exception {
        var hex = new StringBuilder();
        for (var b : MessageDigest.getInstance("SHA-256").digest(content)) hex.append(String.format("%02x", b));
        return hex.toString();
    }
}
