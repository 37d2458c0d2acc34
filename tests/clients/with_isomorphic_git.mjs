// A client that is built on isomorphic-git. The requests are those of decisions.py.

import crypto from 'node:crypto'
import fs from 'node:fs'
import readline from 'node:readline'
import git from 'isomorphic-git'
import http from 'isomorphic-git/http/node'

const LOGS = 'refs/remotes/origin/spaces/'
const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904'

// A space as refs have it (docs/format.md, section 4).
function spelled (space) {
  const raw = Buffer.from(space)
  const plain = (byte, i) => {
    if (byte !== 0x2e) return /[a-z0-9_-]/.test(String.fromCharCode(byte))
    return i > 0 && i < raw.length - 1 && raw[i - 1] !== 0x2e && raw.subarray(i).toString() !== '.lock'
  }
  return [...raw].map((byte, i) => plain(byte, i)
    ? String.fromCharCode(byte)
    : '%' + byte.toString(16).toUpperCase().padStart(2, '0')).join('')
}

// A string as subjects have it (section 8).
const quoted = text => /[ "\\]/.test(text) ? '"' + text.replace(/[\\"]/g, '\\$&') + '"' : text

// Canonical JSON (section 5): what JSON.stringify writes, with sorted keys. Keys are ASCII.
function canonical (value) {
  if (Array.isArray(value)) return '[' + value.map(canonical).join(',') + ']'
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return '{' + Object.keys(value).sort().map(key => JSON.stringify(key) + ':' + canonical(value[key])).join(',') + '}'
}

function uuid7 () {
  const digits = Date.now().toString(16).padStart(12, '0') + '7' + crypto.randomBytes(2).toString('hex').slice(1) +
    '8' + crypto.randomBytes(8).toString('hex').slice(1)
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

const seqOf = message => Number(/^Seq: (\d+)$/m.exec(message.split('\n\n')[2])[1])
const sha256 = content => crypto.createHash('sha256').update(content).digest('hex')

// The fetch of isomorphic-git demands that the server has a HEAD. A repository of logs alone has none: its first ref does.
const withHead = {
  async request (options) {
    const response = await http.request(options)
    if (!options.url.endsWith('/info/refs?service=git-upload-pack')) return response
    const chunks = []
    for await (const chunk of response.body) chunks.push(chunk)
    const said = Buffer.concat(chunks).toString('latin1')
    const [, before, oid, name, capabilities] = /^(.*?0000)[0-9a-f]{4}([0-9a-f]{40}) ([^\0]*)\0([^\n]*\n)/s.exec(said)
    if (name === 'HEAD') return { ...response, body: [Buffer.concat(chunks)] }
    const packet = line => (line.length + 4).toString(16).padStart(4, '0') + line
    const rest = said.slice(before.length + 4 + oid.length + 1 + name.length + 1 + capabilities.length)
    const told = before + packet(`${oid} HEAD\0${capabilities}`) + packet(`${oid} ${name}\n`) + rest
    return { ...response, body: [Buffer.from(told, 'latin1')] }
  }
}

async function tip (dir, space) {
  try {
    return await git.resolveRef({ fs, gitdir: dir, ref: LOGS + spelled(space) })
  } catch (error) {
    if (error.code === 'NotFoundError') return null
    throw error
  }
}

const client = {
  async fetch (dir, url, plainly) {
    if (!fs.existsSync(dir)) {
      await git.init({ fs, gitdir: dir, bare: true })
      await git.addRemote({ fs, gitdir: dir, remote: 'origin', url })
      await git.setConfig({ fs, gitdir: dir, path: 'remote.origin.fetch', value: `+refs/spaces/*:${LOGS}*` })
    }
    // It fetches branches, tags, and the one ref that it is asked for: the logs one by one.
    for (const { ref } of await git.listServerRefs({ http, url, prefix: 'refs/spaces/', protocolVersion: 1 })) {
      await git.fetch({ fs, http: plainly ? http : withHead, gitdir: dir, remote: 'origin', ref, tags: false })
    }
  },

  async read (dir, space) {
    const rows = []
    for (let oid = await tip(dir, space); oid;) {
      const { commit } = await git.readCommit({ fs, gitdir: dir, oid })
      const [subject, line] = commit.message.split('\n\n')
      let digest = '-'
      if (commit.tree !== EMPTY_TREE) {
        digest = sha256((await git.readBlob({ fs, gitdir: dir, oid, filepath: 'body' })).blob)
      }
      const { actor } = JSON.parse(line)
      rows.push([seqOf(commit.message), oid, actor, commit.committer.name, subject, line, digest].join('\t'))
      oid = commit.parent[0]
    }
    console.log(rows.reverse().join('\n'))
  },

  async build (dir, space, how, actor, kind, name, page, file) {
    const now = Date.now()
    const timestamp = Math.floor(now / 1000)
    const parent = await tip(dir, space)
    const tree = []
    let payload, rest
    if (kind === 'alias-set') {
      payload = { alias: name, target: page }
      rest = `${quoted(name)} -> ${quoted(page)}`
    } else {
      const content = fs.readFileSync(file)
      tree.push({ mode: '100644', path: 'body', type: 'blob', oid: await git.writeBlob({ fs, gitdir: dir, blob: content }) })
      const body = { bytes: content.length, sha256: sha256(how === 'attachment' ? 'other' : content) }
      payload = { overlay_id: name, target: page, base_rev: null, body }
      rest = `${quoted(name)} on ${quoted(page)} (${content.length} bytes)`
    }
    const at = new Date(now).toISOString().replace('Z', '000Z')
    const document = { v: 1, type: kind, space, id: uuid7(), actor, at, payload }
    const seq = parent ? seqOf((await git.readCommit({ fs, gitdir: dir, oid: parent })).commit.message) + 1 : 0
    const subject = `${kind}: ${rest}` + (how === 'subject' ? '!' : '')
    const trailer = how === 'intent' ? '' : `\nSeq: ${how === 'seq' ? seq + 1 : seq}\n`
    const commit = {
      tree: await git.writeTree({ fs, gitdir: dir, tree }),
      parent: parent ? [parent] : [],
      author: { name: actor, email: '', timestamp, timezoneOffset: 0 },
      committer: { name: 'isomorphic-git', email: '', timestamp, timezoneOffset: 0 },
      message: `${subject}\n\n${canonical(document)}\n${trailer}`
    }
    console.log(await git.writeCommit({ fs, gitdir: dir, commit }))
  },

  async push (dir, url, commit, remoteRef, force) {
    try {
      const result = await git.push({
        fs,
        http,
        gitdir: dir,
        remote: 'origin',
        ref: commit,
        remoteRef,
        force: Boolean(force),
        onMessage: said => process.stdout.write(said)
      })
      console.log('reported: ' + JSON.stringify(result.refs))
    } catch (error) {
      if (error.data?.result) console.log('reported: ' + JSON.stringify(error.data.result.refs))
      throw error
    }
  }
}

for await (const request of readline.createInterface({ input: process.stdin })) {
  const [verb, ...words] = request.split('\t')
  try {
    await client[verb](...words)
    console.log('= done')
  } catch (error) {
    console.log(`${error.name}: ${error.message}\n= failed`)
  }
}
