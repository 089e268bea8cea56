import { expect, test } from "vitest";
import { withoutFiles } from "./request";

test("files leave the variables and are known by their paths", () => {
	const [image, weights] = [new Blob(["a"]), new Blob(["b"])];
	const files: { path: string; file: Blob }[] = [];
	const variables = { input: { image, name: "x", list: [weights, 7, null] }, more: [] };
	expect(withoutFiles(variables, "variables", files)).toEqual({
		input: { image: null, name: "x", list: [null, 7, null] },
		more: [],
	});
	expect(files).toEqual([
		{ path: "variables.input.image", file: image },
		{ path: "variables.input.list.0", file: weights },
	]);
});
