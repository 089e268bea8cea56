import { create } from "zustand";
import { createJSONStorage, persist } from "zustand/middleware";

/** Two versions are compared. */
const MOST = 2;

/** The versions that are marked for comparison, such as `plain:1`, in the order in which they were. They outlive a reload. */
interface Marks {
	names: readonly string[];
	toggle: (name: string) => void;
	clear: () => void;
}

export const useMarks = create<Marks>()(
	persist(
		(set) => ({
			names: [],
			toggle: (name) => set(({ names }) => ({ names: toggled(names, name) })),
			clear: () => set({ names: [] }),
		}),
		{ name: "scv-marks", storage: createJSONStorage(() => sessionStorage) },
	),
);

/** The marks after one was set or taken away. One more than fit takes the place of the oldest. */
export function toggled(names: readonly string[], name: string): readonly string[] {
	return names.includes(name) ? names.filter((other) => other !== name) : [...names, name].slice(-MOST);
}

/** The address where the marked versions are compared; null until there are two. */
export function comparison(names: readonly string[]) {
	const [a, b] = names;
	return a !== undefined && b !== undefined ? ({ to: "/compare", search: { a, b } } as const) : null;
}
