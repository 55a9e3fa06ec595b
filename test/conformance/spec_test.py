#!/usr/bin/env python3
"""Checks cni-spec/ by itself: schemas, clauses and vectors fit together.

  spec_test.py SOURCE_DIRECTORY [CNI_CONFORMANCE]

With the path of cni-conformance, also that it has exactly the clauses the table says it proves.
Prints "spec: N passed, N failed, 0 skipped".
"""

import json
import pathlib
import subprocess
import sys
import warnings

import jsonschema

warnings.filterwarnings("ignore", category=DeprecationWarning)  # RefResolver, of newer releases

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


class Spec:
    def __init__(self, root):
        self.schemas = {path.name: load(path) for path in sorted((root / "schema").glob("*.json"))}
        self.vectors = root / "vectors"
        self.clauses = load(root / "clauses.json")

    def validator(self, name):
        resolver = jsonschema.RefResolver(name, self.schemas[name], store=self.schemas)
        return jsonschema.Draft202012Validator(self.schemas[name], resolver=resolver)

    def valid(self, name, document):
        return self.validator(name).is_valid(document)

    def for_version(self, kind, version):
        """The schema of that kind whose cniVersion admits the version."""
        for name, schema in self.schemas.items():
            if name.startswith(kind + "-"):
                allowed = schema["properties"]["cniVersion"]
                if version in allowed.get("enum", [allowed.get("const")]):
                    return name
        raise LookupError(f"no schema of {kind} for {version}")


def check_schemas(spec):
    for name, schema in spec.schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        yield f"{name} has its name as $id", schema["$id"] == name
    for kind in ["configuration", "request", "result"]:
        for version in VERSIONS:
            yield f"a schema of {kind} for {version}", bool(spec.for_version(kind, version))
    seen = set()
    for case in load(spec.vectors / "schema.json"):
        name, wanted = case["schema"], case["valid"]
        seen.add((name, wanted))
        yield (f"{name} {'takes' if wanted else 'refuses'} {json.dumps(case['document'])}",
               spec.valid(name, case["document"]) == wanted)
    for name, schema in spec.schemas.items():
        if "cniVersion" in schema.get("properties", {}) or name == "ipam-result.json":
            yield f"vectors that {name} takes and refuses", {(name, True), (name, False)} <= seen


def check_clauses(spec):
    yield "the table of clauses", spec.valid("clauses.json", spec.clauses)
    identifiers = [clause["id"] for clause in spec.clauses]
    yield "each clause once", len(set(identifiers)) == len(identifiers)
    for clause in spec.clauses:
        since, until = VERSIONS.index(clause["since"]), VERSIONS.index(clause["until"])
        yield f"{clause['id']}: since is not after until", since <= until


def check_vectors(spec):
    clauses = {clause["id"] for clause in spec.clauses}
    for path in sorted((spec.vectors / "error").glob("*.json")):
        vector = load(path)
        yield path.name, spec.valid("error-vector.json", vector)
        yield f"{path.name}: its clause is in the table", vector["clause"] in clauses
        code = vector["expected"]["code"]
        yield f"{path.name}: named after its code", path.name.startswith(f"{code}-")
    for path in sorted((spec.vectors / "result").glob("*.out.json")):
        for version, document in load(path).items():
            if "error" not in document:
                yield f"{path.name}, {version}", spec.valid(
                    spec.for_version("result", version), document)


def check_tool(spec, tool):
    listed = subprocess.run([tool, "--list"], check=True, capture_output=True, text=True).stdout
    proved = [clause["id"] for clause in spec.clauses if clause["by"] == "cni-conformance"]
    yield "cni-conformance has the clauses of the table", sorted(listed.split()) == sorted(proved)


def main():
    spec = Spec(pathlib.Path(sys.argv[1]) / "cni-spec")
    checks = [*check_schemas(spec), *check_clauses(spec), *check_vectors(spec)]
    if len(sys.argv) > 2:
        checks += check_tool(spec, sys.argv[2])
    failed = [name for name, fine in checks if not fine]
    for name in failed:
        print(f"FAILED: {name}")
    print(f"spec: {len(checks) - len(failed)} passed, {len(failed)} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
