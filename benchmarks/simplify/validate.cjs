// Khronos' glTF validator over many files: node validate.cjs NODE_MODULES FILE ...
// Prints one JSON object: file -> {errors, warnings, first}.
const fs = require("fs");
const path = require("path");
const validator = require(path.join(process.argv[2], "gltf-validator"));

(async () => {
  const found = {};
  for (const file of process.argv.slice(3)) {
    const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)));
    const { numErrors, numWarnings, messages } = report.issues;
    const first = messages.length ? `${messages[0].code}: ${messages[0].message}` : "";
    found[file] = { errors: numErrors, warnings: numWarnings, first };
  }
  console.log(JSON.stringify(found));
})();
