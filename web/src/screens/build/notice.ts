import { create } from "zustand";
import { useDraft } from "./draft";

/** What the page says about the last step, until the network changes. */
export const useNotice = create<{ text: string; isFault: boolean }>(() => ({ text: "", isFault: false }));

export function say(text: string) {
	useNotice.setState({ text, isFault: false });
}

export function refuse(text: string) {
	useNotice.setState({ text, isFault: true });
}

useDraft.subscribe((draft, before) => {
	if (draft.blocks !== before.blocks) say("");
});
