import { expect, test } from "vitest";
import { defaultMethod, methodsOf } from "./methods";

test("Grad-CAM is for layers with rows and columns", () => {
	expect(defaultMethod({ outputShape: [16, 8, 8] })).toBe("GRAD_CAM");
	expect(defaultMethod({ outputShape: [64] })).toBe("INTEGRATED_GRADIENTS");
	expect(methodsOf({ outputShape: [64] })).not.toContain("GRAD_CAM");
});
