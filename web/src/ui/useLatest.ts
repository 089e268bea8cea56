import { useCallback, useEffect, useRef, useState } from "react";

interface Outcome<Question, Answer> {
	/** What was asked. By now there may be another question. */
	question: Question | null;
	answer: Answer | null;
	error: Error | null;
}

/**
 * Asks about what changes quickly. One question is under way at a time, and what came up meanwhile is asked afterwards, the latest alone.
 * The answer stays until the next one comes.
 */
export function useLatest<Question, Answer>(ask: (question: Question) => Promise<Answer>) {
	const [outcome, setOutcome] = useState<Outcome<Question, Answer>>({ question: null, answer: null, error: null });
	const waiting = useRef<{ question: Question } | null>(null);
	const isAsking = useRef(false);
	const epoch = useRef(0);
	const asking = useRef(ask);
	useEffect(() => {
		asking.current = ask;
	}, [ask]);
	const put = useCallback(async (question: Question | null) => {
		waiting.current = question === null ? null : { question };
		if (question === null) {
			epoch.current += 1;
			setOutcome({ question: null, answer: null, error: null });
		}
		if (isAsking.current) return;
		isAsking.current = true;
		while (waiting.current) {
			const { question } = waiting.current;
			const asked = epoch.current;
			waiting.current = null;
			const [answer, error] = await asking.current(question).then(
				(answer) => [answer, null] as const,
				(error: Error) => [null, error] as const,
			);
			// There may be nothing to ask about any more.
			if (asked === epoch.current) setOutcome({ question, answer, error });
		}
		isAsking.current = false;
	}, []);
	return { ...outcome, put };
}
