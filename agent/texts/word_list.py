"""A small lexicon of finance and crypto news: words with a sign, what turns them round, and words of events.

Written for this project, not copied. Loughran and McDonald's list asks commercial users for a licence, and the packages
that carry it, VADER and AFINN were last released years ago or pin what else is installed to versions of then.
An entry ending in ``*`` stands for every word that begins so. Words of events are no verdict: a hack is bad because of
``hacked`` below, not because it is an event.
"""

from __future__ import annotations

from collections.abc import Mapping

_STRONG_GOOD = (
    "soar* skyrocket* surg* boom* bullish all-time-high ath rally rallies rallied rallying breakthrough triumph* "
    "landmark record-high outperform* explode explodes exploded mooning victory windfall"
)
_GOOD = (
    "gain gains gained gaining rise rises rising rose risen climb* jump jumps jumped jumping rebound* recover* "
    "bounce bounces bounced bouncing advance advances advanced up higher uptrend upbeat upside upgrade* upswing "
    "uptick optimis* hopeful hopes confiden* positive* strong stronger strongest strength strengthen* robust solid "
    "healthy growth grow grows growing grew grown expand* expansion boost boosts boosted boosting improve* "
    "improving improvement* success* succeed* win wins winning won winner* profit profits profitable profitability "
    "beat beats beating exceed* outpace* approve approves approved approval* green-light* legaliz* legalis* "
    "legal-tender adopt adopts adopted adopting adoption embrac* partner partners partnered partnering partnership* "
    "collaborat* alliance* invest invests invested investing investment* inflow* accumulat* hodl* buy buys buying "
    "bought buyer* buyback* raise raises raised raising funded backing backed launch launches launched launching "
    "rollout unveil* introduc* integrat* list lists listed listing support* milestone* "
    "innovati* promising progress* opportunit* lead leads leading popular* demand favorable favourable favor* secure "
    "secures secured securing safe* stable stabiliz* stabilis* resilien* relief resolve* settle* settled dismiss* "
    "acquit* donat* award* benefit* attract* thriv* flourish* accelerat* "
    "momentum breakout bull bulls undervalued dovish easing stimulus cheaper oversold "
    "efficient scalab* upgraded record-breaking top tops topped topping surpass* double doubles doubled triple* "
    "tripled dividend* oversubscribed reopen* resum* restor* reimburs* refund* recovery returns rewarding"
)
_BAD = (
    "fall falls falling fell fallen drop drops dropped dropping decline* declining decreas* slip slips slipped "
    "slipping slide slides sliding slid sink sinks sinking sank dip dips dipped dipping tumble* tumbling lose loses "
    "losing lost loss losses down lower lows downtrend downturn downside downgrade* weak weaker weakest weaken* "
    "weakness struggl* suffer* pressure* bear bears selloff sell-off selling sold sell sells outflow* "
    "withdraw* dump dumps dumped dumping capitulat* liquidat* fear fears feared fearful worry worries worried "
    "concern* uncertain* volatil* risk risks risky riskier warn warns warned warning* caution* threat* danger* "
    "doubt* skeptic* sceptic* pessimis* negativ* bubble* overvalued overheated overbought delay* postpon* "
    "suspend* suspension halt* pause pauses paused pausing outage* downtime disrupt* glitch* bug bugs flaw* "
    "vulnerab* error* fail fails failed failing failure* reject* refus* deny denies denied ban bans banned banning "
    "prohibit* restrict* crackdown* crack-down block blocks blocked sanction* probe probes probed investigat* "
    "inquiry scrutin* subpoena* sue sues sued suing lawsuit* litigation accus* alleg* complaint* charge charges "
    "charged fine fined fines penalt* violat* illegal* unregistered breach* layoff* lay-offs laid-off lays-off cuts "
    "cutting shut shuts shutdown shutting clos* delist* resign* quit quits depart* inflation hawkish "
    "tightening recession* slump* stagnat* stagflation debt deficit* shortage* slow slows slowed slowing slowdown "
    "miss misses missed missing wrong problem* trouble* crisis* controvers* critic* blam* bad worse backlash "
    "boycott* protest* war conflict* invasion tension* unstable instability expensive congest* correction "
    "retreat* reversal resistance plagued fud underperform* shrink* shrank erase* wipe* wiped drain* drained "
    "freez* froze frozen unpaid default* downplay* cancel* scrap scraps scrapped terminat* "
    "fraudulent misleading mislead* manipulat* insider-trading unable stuck victim* abus* laundering terror* illicit"
)
_STRONG_BAD = (
    "crash* plunge* plunging plummet* collaps* bankrupt* insolven* hack hacks hacked hacking hackers exploit "
    "exploits exploited exploiting stolen steal* theft* heist* scam* fraud* ponzi rug-pull* rugpull* phishing "
    "depeg* de-peg* bloodbath panic* meltdown death-spiral catastroph* disaster* carnage contagion turmoil "
    "ruin* worthless arrest* convict* indict* guilty jail* prison* bearish crisis-hit nosedive* "
    "attack attacks attacked attacker* malware ransomware"
)
WEIGHTS: Mapping[str, float] = {
    **dict.fromkeys(_BAD.split(), -1.0),
    **dict.fromkeys(_GOOD.split(), 1.0),
    **dict.fromkeys(_STRONG_BAD.split(), -2.0),
    **dict.fromkeys(_STRONG_GOOD.split(), 2.0),
}
# Two or three words that mean one thing; read before the words, joined by a hyphen.
PHRASES = (
    "all-time-high", "all-time-highs", "record-high", "sell-off", "crack-down", "rug-pull", "rug-pulls", "death-spiral",
    "legal-tender", "green-light", "insider-trading", "laid-off", "lay-offs", "lays-off", "de-peg", "de-pegs",
    "short-squeeze", "rate-hike", "rate-hikes", "interest-rate", "interest-rates", "federal-reserve", "white-house",
    "hard-fork", "smart-contract", "smart-contracts", "price-analysis", "price-prediction", "lower-lows",
    "chapter-11", "central-bank", "central-banks", "central-african", "testnet-launch", "no-longer",
)  # fmt: skip
_TURNING = (
    "not no never without neither nor cannot cant isnt arent wasnt werent doesnt dont didnt wont wouldnt shouldnt "
    "hardly barely despite stop stops stopped avoid avoids avoided prevent prevents prevented no-longer unlikely "
    "denies deny end ends ended fights fight against"
)
_MORE = "very extremely sharply massive massively huge hugely heavily record major significantly"
_LESS = "slightly somewhat modestly mildly may might could partly little minor"
NEGATIONS, STRONGER, WEAKER = (frozenset(said.split()) for said in (_TURNING, _MORE, _LESS))
# Event -> words of it; the first event in this order that has most hits is the text's.
EVENT_WORDS: Mapping[str, str] = {
    "security": "hack* exploit* stolen steal* theft* heist* scam* phishing rug-pull* rugpull* breach* malware attack* "
    "ransomware vulnerab*",
    "insolvency": "bankrupt* insolven* chapter-11 liquidator* default* creditor* bailout* restructur* contagion depeg* "
    "de-peg*",
    "legal": "lawsuit* sue sues sued suing court* judge* trial* charg* indict* arrest* convict* guilty settle* "
    "prosecut* subpoena* alleg* attorney* class-action jail* prison*",
    "regulation": "regulat* sec cftc law laws lawmaker* bill bills legislat* ban bans banned tax taxes taxation "
    "sanction* licen* complian* policy senate senator* congress parliament minister* government* "
    "kyc aml mica legal-tender cbdc",
    "macro": "fed fomc inflation cpi rate-hike* interest-rate* federal-reserve powell recession* gdp central-bank* ecb "
    "dollar treasury treasuries stocks nasdaq war ukraine jobs unemployment",
    "earnings": "earnings quarterly revenue eps guidance q1 q2 q3 q4 dividend* profit-warning",
    "listing": "list lists listed listing delist* etf etfs etp ipo listings",
    "deal": "partner* acqui* merger* merge invest* fund funds funded funding raise raises raised valuation vc "
    "series-a collaborat* stake sponsor* deal deals",
    "technology": "upgrade* mainnet testnet fork* hard-fork protocol* launch* rollout integrat* layer-2 scal* bridge* "
    "smart-contract* staking merge developer* update* release* wallet* feature*",
    "price": "price* rally rallies rallied soar* surg* plunge* crash* plummet* tumbl* rebound* resistance "
    "support-level ath all-time-high* market-cap bull bulls bear bears bullish bearish trader* chart* candle* low "
    "lows high highs correction whale* liquidat* hodl* price-analysis price-prediction",
}
