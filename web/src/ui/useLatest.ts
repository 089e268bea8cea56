import { useCallback, useEffect, useRef, useState } from "react";

interface Outcome<Answer> {
	answer: Answer | null;
	error: Error | null;
}

/**
 * Asks about what changes quickly. One question is under way at a time, and what came up meanwhile is asked afterwards, the latest alone.
 * The answer stays until the next one comes.
 */
export function useLatest<Question, Answer>(ask: (question: Question) => Promise<Answer>) {
	const [outcome, setOutcome] = useState<Outcome<Answer>>({ answer: null, error: null });
	const waiting = useRef<{ question: Question } | null>(null);
	const isAsking = useRef(false);
	const asking = useRef(ask);
	useEffect(() => {
		asking.current = ask;
	}, [ask]);
	const put = useCallback(async (question: Question | null) => {
		waiting.current = question === null ? null : { question };
		if (question === null) setOutcome({ answer: null, error: null });
		if (isAsking.current) return;
		isAsking.current = true;
		while (waiting.current) {
			const { question } = waiting.current;
			waiting.current = null;
			try {
				const answer = await asking.current(question);
				setOutcome({ answer, error: null });
			} catch (error) {
				setOutcome({ answer: null, error: error as Error });
			}
		}
		isAsking.current = false;
	}, []);
	return { ...outcome, put };
}
